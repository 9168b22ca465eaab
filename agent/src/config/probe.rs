//! `[probes.NAME]`: what is asked, from outside, whether it works.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::bytes::Regex;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;
use toml::Spanned;

use super::error::Flaw;
use super::web::{self, Trust};
use super::{duration, number};

/// How often a probe runs, unless it says otherwise.
const INTERVAL: Duration = Duration::from_secs(10);
/// The shortest interval: a typing error must not become a flood.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// How long one run may take, unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Better results in a row until the state is better, unless it says otherwise.
const RISE: u32 = 2;
/// Worse results in a row until the state is worse, unless it says otherwise.
const FALL: u32 = 3;
/// The share of the interval by which runs vary, unless it says otherwise.
const JITTER: f64 = 0.1;
/// The port of a name server that is given without one.
const DNS_PORT: u16 = 53;
/// The most redirects that can be followed.
const MAX_REDIRECTS: u32 = 20;

/// What is asked, and how often.
#[derive(Debug, Clone)]
pub struct ProbeSpec {
    /// What is asked.
    pub kind: ProbeKind,
    /// From the beginning of one run to the next.
    pub interval: Duration,
    /// How long one run may take in all.
    pub timeout: Duration,
    /// Better results in a row until the state is better.
    pub rise: u32,
    /// Worse results in a row until the state is worse.
    pub fall: u32,
    /// The share of the interval, 0 to 1, by which runs vary.
    pub jitter: f64,
}

/// What a probe asks.
#[derive(Debug, Clone)]
pub enum ProbeKind {
    /// A request and its answer.
    Http(Box<HttpProbe>),
    /// A connection, and what is said on it.
    Tcp(TcpProbe),
    /// The same on a Unix socket.
    Unix(PathBuf, Dialogue),
    /// A question to a name server.
    Dns(DnsProbe),
    /// A program by the conventions of Nagios.
    Command(CommandProbe),
}

impl ProbeKind {
    /// Its word in `probe.kind`, which is its key in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Unix(..) => "unix",
            Self::Dns(_) => "dns",
            Self::Command(_) => "command",
        }
    }

    /// Whether it sees a certificate.
    pub fn has_certificate(&self) -> bool {
        match self {
            Self::Http(http) => http.url.scheme() == "https" || http.redirects > 0,
            Self::Tcp(tcp) => tcp.tls.is_some(),
            Self::Unix(..) | Self::Dns(_) | Self::Command(_) => false,
        }
    }
}

/// A request, and what the answer must be.
#[derive(Debug, Clone)]
pub struct HttpProbe {
    /// Where it goes.
    pub url: Url,
    /// Its method.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// The statuses that are expected.
    pub status: Vec<RangeInclusive<u16>>,
    /// What the body must match, if it matters.
    pub body: Option<Regex>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// How many redirects are followed.
    pub redirects: u32,
    /// The Unix socket that is asked instead of the URL's host.
    pub socket: Option<PathBuf>,
}

/// A TCP port.
#[derive(Debug, Clone)]
pub struct TcpProbe {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken, and whose certificates are believed.
    pub tls: Option<Trust>,
    /// What is said.
    pub dialogue: Dialogue,
}

/// What is said on a connection.
#[derive(Debug, Clone, Default)]
pub struct Dialogue {
    /// What is sent first.
    pub send: Option<String>,
    /// What must come, if it matters.
    pub expect: Option<Regex>,
}

/// A question to a name server.
#[derive(Debug, Clone)]
pub struct DnsProbe {
    /// The name asked about.
    pub name: String,
    /// What is asked of it.
    pub record: RecordType,
    /// Who is asked; the first of `/etc/resolv.conf` if not given.
    pub server: Option<SocketAddr>,
    /// What must be among the answers.
    pub expect: Vec<String>,
}

/// A program that checks something.
#[derive(Debug, Clone)]
pub struct CommandProbe {
    /// Its absolute path and its arguments.
    pub argv: Vec<String>,
    /// Who it runs as; the agent's user if not given.
    pub user: Option<String>,
}

/// Records that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name it stands for.
    Cname,
    /// Mail servers: `10 mail.example.com`.
    Mx,
    /// Name servers.
    Ns,
    /// The name of an address: ask for `1.2.0.192.in-addr.arpa`.
    Ptr,
    /// Servers of a service: `0 5 5060 sip.example.com`.
    Srv,
    /// Texts.
    Txt,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Probe {
    http: Option<Spanned<String>>,
    tcp: Option<Spanned<String>>,
    unix: Option<Spanned<PathBuf>>,
    dns: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
    #[serde(default, deserialize_with = "duration::read_positive")]
    interval: Option<Duration>,
    #[serde(default, deserialize_with = "duration::read_positive")]
    timeout: Option<Duration>,
    #[serde(default, deserialize_with = "number::at_least_one")]
    rise: Option<u32>,
    #[serde(default, deserialize_with = "number::at_least_one")]
    fall: Option<u32>,
    jitter: Option<Spanned<f64>>,
    method: Option<Spanned<String>>,
    headers: Option<Spanned<BTreeMap<String, String>>>,
    status: Option<Spanned<OneOrMany<Status>>>,
    body: Option<Spanned<String>>,
    redirects: Option<Spanned<u32>>,
    socket: Option<Spanned<PathBuf>>,
    tls: Option<Spanned<bool>>,
    ca: Option<Spanned<PathBuf>>,
    insecure: Option<Spanned<bool>>,
    send: Option<Spanned<String>>,
    expect: Option<Spanned<OneOrMany<String>>>,
    server: Option<Spanned<String>>,
    #[serde(rename = "type")]
    record: Option<Spanned<RecordType>>,
    user: Option<Spanned<String>>,
}

/// A value, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// `204`, or `"2xx"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Status {
    Code(i64),
    Class(String),
}

/// Checks an entry; relative paths are relative to `base`.
pub(super) fn check(name: &str, raw: Spanned<Probe>, base: &Path) -> Result<ProbeSpec, Flaw> {
    let table = raw.span();
    let raw = raw.into_inner();
    if !web::is_name(name) {
        return Err(Flaw::new(table, format!("`{name}` cannot name a probe: write letters, digits and `._@:-`")));
    }
    let kind = word(name, &raw, &table)?;
    foreign_keys(kind, &raw)?;
    let interval = raw.interval.unwrap_or(INTERVAL);
    if interval < MIN_INTERVAL {
        return Err(Flaw::new(table, format!("[probes.{name}] interval must be at least 100ms")));
    }
    let jitter = match &raw.jitter {
        Some(jitter) if !(0.0..=1.0).contains(jitter.get_ref()) => {
            return Err(Flaw::new(jitter.span(), "jitter is a share of the interval: write a number from 0 to 1"));
        }
        jitter => jitter.as_ref().map_or(JITTER, |jitter| *jitter.get_ref()),
    };
    let (timeout, rise, fall) = (raw.timeout, raw.rise, raw.fall);
    Ok(ProbeSpec {
        kind: read(raw, base)?,
        interval,
        timeout: timeout.unwrap_or(TIMEOUT),
        rise: rise.unwrap_or(RISE),
        fall: fall.unwrap_or(FALL),
        jitter,
    })
}

/// The one key that says what is asked.
fn word(name: &str, raw: &Probe, table: &Range<usize>) -> Result<&'static str, Flaw> {
    let kinds = [
        ("http", span(raw.http.as_ref())),
        ("tcp", span(raw.tcp.as_ref())),
        ("unix", span(raw.unix.as_ref())),
        ("dns", span(raw.dns.as_ref())),
        ("command", span(raw.command.as_ref())),
    ];
    let mut given = kinds.into_iter().filter_map(|(kind, span)| span.map(|span| (kind, span)));
    let Some((kind, _)) = given.next() else {
        let message = format!("[probes.{name}] asks nothing; write one of http, tcp, unix, dns and command");
        return Err(Flaw::new(table.clone(), message));
    };
    match given.next() {
        Some((other, span)) => {
            let message =
                format!("a probe asks one thing, and this one has `{kind}` already; give `{other}` a probe of its own");
            Err(Flaw::new(span, message))
        }
        None => Ok(kind),
    }
}

fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
    value.map(Spanned::span)
}

/// Keys that mean nothing to this kind of probe: whoever wrote them expects something of them.
fn foreign_keys(kind: &str, raw: &Probe) -> Result<(), Flaw> {
    type Key = (&'static str, Option<Range<usize>>, &'static [&'static str]);
    let keys: [Key; 14] = [
        ("method", span(raw.method.as_ref()), &["http"]),
        ("headers", span(raw.headers.as_ref()), &["http"]),
        ("status", span(raw.status.as_ref()), &["http"]),
        ("body", span(raw.body.as_ref()), &["http"]),
        ("redirects", span(raw.redirects.as_ref()), &["http"]),
        ("socket", span(raw.socket.as_ref()), &["http"]),
        ("tls", span(raw.tls.as_ref()), &["tcp"]),
        ("ca", span(raw.ca.as_ref()), &["http", "tcp"]),
        ("insecure", span(raw.insecure.as_ref()), &["http", "tcp"]),
        ("send", span(raw.send.as_ref()), &["tcp", "unix"]),
        ("expect", span(raw.expect.as_ref()), &["tcp", "unix", "dns"]),
        ("server", span(raw.server.as_ref()), &["dns"]),
        ("type", span(raw.record.as_ref()), &["dns"]),
        ("user", span(raw.user.as_ref()), &["command"]),
    ];
    for (key, span, of) in &keys {
        if let Some(span) = span.clone().filter(|_| !of.contains(&kind)) {
            let mut valid = vec![kind, "interval", "timeout", "rise", "fall", "jitter"];
            valid.extend(keys.iter().filter(|(.., of)| of.contains(&kind)).map(|(key, ..)| *key));
            let message = format!("`{key}` means nothing to a probe by {kind}; valid here: {}", valid.join(", "));
            return Err(Flaw::new(span, message));
        }
    }
    Ok(())
}

/// What is asked; that it is one thing, and its keys its own, is known.
fn read(raw: Probe, base: &Path) -> Result<ProbeKind, Flaw> {
    let insecure = raw.insecure.as_ref().is_some_and(|insecure| *insecure.get_ref());
    if let Some(url) = raw.http {
        return Ok(ProbeKind::Http(Box::new(HttpProbe {
            url: web::url(&url)?,
            method: raw.method.map_or(Ok(Method::GET), method)?,
            headers: web::headers(raw.headers)?,
            status: raw.status.map_or_else(|| Ok(vec![200..=299]), statuses)?,
            body: raw.body.map(expression).transpose()?,
            trust: Trust::read(raw.ca, insecure, base)?,
            redirects: raw.redirects.map_or(Ok(0), redirects)?,
            socket: raw.socket.map(|path| base.join(path.into_inner())),
        })));
    }
    if let Some(address) = raw.tcp {
        let (host, port) = host_port(&address)?;
        let is_tls = raw.tls.is_some_and(Spanned::into_inner);
        let idle = span(raw.ca.as_ref()).or(span(raw.insecure.as_ref()));
        if let Some(span) = idle.filter(|_| !is_tls) {
            return Err(Flaw::new(span, "certificates matter only with TLS; add `tls = true`"));
        }
        let tls = is_tls.then(|| Trust::read(raw.ca, insecure, base)).transpose()?;
        return Ok(ProbeKind::Tcp(TcpProbe { host, port, tls, dialogue: dialogue(raw.send, raw.expect)? }));
    }
    if let Some(path) = raw.unix {
        return Ok(ProbeKind::Unix(base.join(path.into_inner()), dialogue(raw.send, raw.expect)?));
    }
    if let Some(name) = raw.dns {
        return Ok(ProbeKind::Dns(DnsProbe {
            name: dns_name(&name)?,
            record: raw.record.map(Spanned::into_inner).unwrap_or_default(),
            server: raw.server.as_ref().map(server).transpose()?,
            expect: raw.expect.map_or_else(Vec::new, |expect| expect.into_inner().into_vec()),
        }));
    }
    // The one that is left.
    let argv = raw.command.unwrap_or_else(|| Spanned::new(0..0, Vec::new()));
    match argv.get_ref().first() {
        Some(program) if program.starts_with('/') => {
            let user = raw.user.map(Spanned::into_inner);
            Ok(ProbeKind::Command(CommandProbe { argv: argv.into_inner(), user }))
        }
        _ => {
            let message = "a command begins with the program's absolute path, for example \
                           [\"/usr/lib/nagios/plugins/check_load\", \"-w\", \"5,4,3\", \"-c\", \"9,8,7\"]";
            Err(Flaw::new(argv.span(), message))
        }
    }
}

fn method(text: Spanned<String>) -> Result<Method, Flaw> {
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT];
    let wrong = || {
        let valid = known.each_ref().map(Method::as_str).join(", ");
        Flaw::new(text.span(), format!("`{}` is not a method a probe asks with; write one of {valid}", text.get_ref()))
    };
    known.iter().find(|method| method.as_str() == text.get_ref()).cloned().ok_or_else(wrong)
}

fn statuses(status: Spanned<OneOrMany<Status>>) -> Result<Vec<RangeInclusive<u16>>, Flaw> {
    let span = status.span();
    let wrong = |what: &str| {
        Flaw::new(
            span.clone(),
            format!("`{what}` is no HTTP status; write 204, \"2xx\", or a list such as [200, \"3xx\"]"),
        )
    };
    let range = |status: Status| match status {
        Status::Code(code) => match u16::try_from(code) {
            Ok(code @ 100..=599) => Ok(code..=code),
            _ => Err(wrong(&code.to_string())),
        },
        Status::Class(text) => {
            let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
            match class.filter(|class| (1..=5).contains(class)) {
                Some(class) => Ok(class * 100..=class * 100 + 99),
                None => Err(wrong(&text)),
            }
        }
    };
    let ranges = status.into_inner().into_vec().into_iter().map(range).collect::<Result<Vec<_>, _>>()?;
    if ranges.is_empty() { Err(wrong("[]")) } else { Ok(ranges) }
}

fn expression(text: Spanned<String>) -> Result<Regex, Flaw> {
    let wrong = |error: regex::Error| Flaw::new(text.span(), format!("not a regular expression: {error}"));
    Regex::new(text.get_ref()).map_err(wrong)
}

fn redirects(count: Spanned<u32>) -> Result<u32, Flaw> {
    match *count.get_ref() {
        some @ 0..=MAX_REDIRECTS => Ok(some),
        many => Err(Flaw::new(count.span(), format!("{many} redirects are a loop: write at most {MAX_REDIRECTS}"))),
    }
}

fn dialogue(send: Option<Spanned<String>>, expect: Option<Spanned<OneOrMany<String>>>) -> Result<Dialogue, Flaw> {
    let one = |expect: Spanned<OneOrMany<String>>| {
        let span = expect.span();
        match expect.into_inner() {
            OneOrMany::One(text) => Ok(Spanned::new(span, text)),
            OneOrMany::Many(_) => Err(Flaw::new(span, "write one regular expression; `a|b` matches either")),
        }
    };
    let expect = expect.map(|expect| one(expect).and_then(expression)).transpose()?;
    Ok(Dialogue { send: send.map(Spanned::into_inner), expect })
}

/// `db.example.com:5432`, `[::1]:5432`.
fn host_port(address: &Spanned<String>) -> Result<(String, u16), Flaw> {
    let parsed = address.get_ref().rsplit_once(':').and_then(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    });
    let wrong = || {
        Flaw::new(address.span(), format!("`{}` is not `host:port`, for example \"localhost:5432\"", address.get_ref()))
    };
    parsed.ok_or_else(wrong)
}

fn dns_name(name: &Spanned<String>) -> Result<String, Flaw> {
    let text = name.get_ref().trim_end_matches('.');
    if text.split('.').any(str::is_empty) || simple_dns::Name::new(text).is_err() {
        let message =
            format!("`{}` is not a name to ask a name server about, for example \"example.com\"", name.get_ref());
        return Err(Flaw::new(name.span(), message));
    }
    Ok(text.to_owned())
}

/// `192.0.2.53:5353`, or an address for port 53.
fn server(server: &Spanned<String>) -> Result<SocketAddr, Flaw> {
    let text = server.get_ref();
    let wrong =
        || Flaw::new(server.span(), format!("`{text}` is not a name server's address, for example \"192.0.2.53:53\""));
    let with_port = || text.parse().ok().map(|address| SocketAddr::new(address, DNS_PORT));
    text.parse().ok().or_else(with_port).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn parse(table: &str) -> Result<ProbeSpec, String> {
        let text = format!("[probes.web]\n{table}\n");
        let settings = Settings::parse(Path::new("/etc/salve/salve.toml"), &text).map_err(|error| error.to_string())?;
        Ok(settings.probes["web"].clone())
    }

    #[test]
    fn defaults() {
        let spec = parse("http = \"https://example.com/health\"").unwrap();
        assert_eq!((spec.interval, spec.timeout, spec.rise, spec.fall), (INTERVAL, TIMEOUT, 2, 3));
        let ProbeKind::Http(http) = &spec.kind else { panic!("{spec:?}") };
        assert_eq!((http.status.clone(), http.redirects, &http.trust), (vec![200..=299], 0, &Trust::Host));
        assert!(spec.kind.has_certificate() && http.method == Method::GET);
    }

    #[test]
    fn each_kind_is_read() {
        let spec =
            parse("http = \"http://h/\"\nstatus = [204, \"3xx\"]\nca = \"ca.pem\"\nsocket = \"/run/x\"").unwrap();
        let ProbeKind::Http(http) = spec.kind else { panic!("http") };
        assert_eq!(http.status, [204..=204, 300..=399]);
        assert_eq!(http.trust, Trust::Authorities("/etc/salve/ca.pem".into()));
        let ProbeKind::Tcp(tcp) =
            parse("tcp = \"[::1]:993\"\ntls = true\nsend = \"a\\r\\n\"\nexpect = \"^OK\"").unwrap().kind
        else {
            panic!("tcp")
        };
        assert_eq!(
            (tcp.host.as_str(), tcp.port, tcp.tls, tcp.dialogue.send.as_deref()),
            ("::1", 993, Some(Trust::Host), Some("a\r\n"))
        );
        let ProbeKind::Dns(dns) =
            parse("dns = \"example.com.\"\nserver = \"127.0.0.1\"\ntype = \"MX\"\nexpect = [\"a\", \"b\"]")
                .unwrap()
                .kind
        else {
            panic!("dns")
        };
        assert_eq!((dns.name.as_str(), dns.record, dns.expect.len()), ("example.com", RecordType::Mx, 2));
        assert_eq!(dns.server, Some("127.0.0.1:53".parse().unwrap()));
        assert_eq!(parse("unix = \"/run/x.sock\"\nexpect = \"x\"").unwrap().kind.as_str(), "unix");
        assert_eq!(parse("command = [\"/bin/true\"]").unwrap().kind.as_str(), "command");
    }

    #[test]
    fn errors_name_line_and_remedy() {
        for (table, expected) in [
            ("interval = \"1s\"", "1:1: [probes.web] asks nothing; write one of http"),
            ("http = \"https://h\"\ntcp = \"h:1\"", "3:7: a probe asks one thing, and this one has `http` already"),
            ("http = \"h/x\"", "2:8: `h/x` is not a URL"),
            ("http = \"ftp://h/x\"", "neither http nor https"),
            ("http = \"http://h\"\nstatus = \"9xx\"", "3:10: `9xx` is no HTTP status"),
            ("http = \"http://h\"\nstatus = [42]", "`42` is no HTTP status"),
            ("http = \"http://h\"\nstatus = []", "is no HTTP status"),
            ("http = \"http://h\"\nbody = \"(\"", "3:8: not a regular expression"),
            ("http = \"http://h\"\nmethod = \"DELETE\"", "one of GET, HEAD"),
            ("http = \"http://h\"\nca = \"x\"\ninsecure = true", "3:6: `insecure = true` trusts anybody"),
            (
                "http = \"http://h\"\nexpect = \"x\"",
                "3:10: `expect` means nothing to a probe by http; valid here: http, interval",
            ),
            ("http = \"http://h\"\nheaders = { \"a b\" = \"\" }", "not one of HTTP's"),
            ("http = \"http://h\"\nredirects = 99", "at most 20"),
            ("tcp = \"h\"", "2:7: `h` is not `host:port`"),
            ("tcp = \"h:1\"\nca = \"x\"", "3:6: certificates matter only with TLS"),
            ("tcp = \"h:1\"\nexpect = [\"x\"]", "write one regular expression"),
            ("dns = \"a..b\"", "is not a name to ask"),
            ("dns = \"a\"\nserver = \"resolver\"", "is not a name server's address"),
            ("dns = \"a\"\ntype = \"X\"", "unknown variant `X`, expected one of `A`"),
            ("command = []", "2:11: a command begins with the program's absolute path"),
            ("command = [\"check_disk\"]", "absolute path"),
            ("tcp = \"h:1\"\njitter = 2.0", "3:10: jitter is a share"),
            ("tcp = \"h:1\"\nrise = 0", "0 is out of range"),
            ("tcp = \"h:1\"\ninterval = \"1ms\"", "at least 100ms"),
            ("tcp = \"h:1\"\ntimeout = \"0\"", "more than zero"),
            ("tcp = \"h:1\"\nintervall = \"1s\"", "unknown key `intervall`; did you mean `interval`?"),
        ] {
            let error = parse(table).unwrap_err();
            assert!(error.contains(expected), "{table}\n  gave {error}\n  not  {expected}");
        }
        let error = Settings::parse(Path::new("x"), "[probes.\"a b\"]\ntcp = \"h:1\"").unwrap_err().to_string();
        assert!(error.contains("`a b` cannot name a probe"), "{error}");
    }
}
