//! A question to a name server, and whether its answer is as expected.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::Answer;
use crate::config::{DnsProbe, RecordType};

/// How long until a question is asked again: a datagram may be lost.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest message of DNS.
const MAX_MESSAGE: usize = 65535;

/// Asks once; `resolv` is the host's `/etc/resolv.conf`.
pub(super) async fn ask(probe: &DnsProbe, resolv: &Path) -> Answer {
    let server = match probe.server.map_or_else(|| first_server(resolv), Ok) {
        Ok(server) => server,
        Err(why) => return Answer::unknown(why),
    };
    // A new one each time, so that a late answer is not taken for one to another question.
    let id = (RandomState::new().hash_one(0) & 0xffff) as u16;
    let question = match question(probe, id) {
        Ok(question) => question,
        Err(error) => return Answer::unknown(format!("`{}` cannot be asked about: {error}", probe.name)),
    };
    match exchange(server, &question, id).await {
        Ok(message) => judge(&message, probe),
        Err(error) => Answer::down(format!("no answer of {server}: {error}")),
    }
}

/// The first name server that the host itself asks.
fn first_server(resolv: &Path) -> Result<SocketAddr, String> {
    let text =
        std::fs::read_to_string(resolv).map_err(|error| format!("{}: {error}; name a `server`", resolv.display()))?;
    let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let address = servers.find_map(|rest| rest.split_whitespace().next()?.parse::<IpAddr>().ok());
    let none = || format!("{} names no name server; name one by `server`", resolv.display());
    address.map(|address| SocketAddr::new(address, 53)).ok_or_else(none)
}

fn record_type(record: RecordType) -> TYPE {
    match record {
        RecordType::A => TYPE::A,
        RecordType::Aaaa => TYPE::AAAA,
        RecordType::Cname => TYPE::CNAME,
        RecordType::Mx => TYPE::MX,
        RecordType::Ns => TYPE::NS,
        RecordType::Ptr => TYPE::PTR,
        RecordType::Srv => TYPE::SRV,
        RecordType::Txt => TYPE::TXT,
    }
}

fn question(probe: &DnsProbe, id: u16) -> simple_dns::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(&probe.name)?;
    packet.questions.push(Question::new(name, record_type(probe.record).into(), CLASS::IN.into(), false));
    packet.build_bytes_vec()
}

/// Asks by datagram, and by TCP where the answer is too long for one.
async fn exchange(server: SocketAddr, question: &[u8], id: u16) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        socket.send(question).await?;
        let answer = async {
            loop {
                let count = socket.recv(&mut buffer).await?;
                let message = buffer.get(..count).unwrap_or_default();
                if message.starts_with(&id.to_be_bytes()) {
                    return io::Result::Ok(message.to_vec());
                }
            }
        };
        // How long in all, the probe's own timeout says.
        let Ok(message) = timeout(AGAIN, answer).await else { continue };
        let message = message?;
        let is_cut = Packet::parse(&message).is_ok_and(|packet| packet.has_flags(PacketFlag::TRUNCATION));
        return if is_cut { exchange_by_tcp(server, question).await } else { Ok(message) };
    }
}

async fn exchange_by_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut message = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

fn judge(message: &[u8], probe: &DnsProbe) -> Answer {
    let packet = match Packet::parse(message) {
        Ok(packet) => packet,
        Err(error) => return Answer::down(format!("what was answered is not DNS: {error}")),
    };
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return Answer::down("what was answered is a question");
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Answer::down(format!("there is no name {}", probe.name)),
        code => return Answer::down(format!("the server answers {code:?}")),
    }
    let wanted = record_type(probe.record);
    let answers = packet.answers.iter().filter(|record| record.rdata.type_code() == wanted);
    let answers: Vec<String> = answers.filter_map(|record| text(&record.rdata)).collect();
    if answers.is_empty() {
        return Answer::down(format!("{} has no record {wanted:?}", probe.name));
    }
    let normal = |text: &str| text.trim_end_matches('.').to_lowercase();
    let has = |expected: &String| answers.iter().any(|answer| normal(answer) == normal(expected));
    match probe.expect.iter().find(|expected| !has(expected)) {
        Some(missing) => Answer::down(format!("{missing} is not among {}", answers.join(", "))),
        None => Answer::up(answers.join(", ")),
    }
}

/// A record as people write it.
fn text(data: &RData<'_>) -> Option<String> {
    match data {
        RData::A(a) => Some(Ipv4Addr::from(a.address).to_string()),
        RData::AAAA(aaaa) => Some(Ipv6Addr::from(aaaa.address).to_string()),
        RData::CNAME(name) => Some(name.0.to_string()),
        RData::NS(name) => Some(name.0.to_string()),
        RData::PTR(name) => Some(name.0.to_string()),
        RData::MX(mx) => Some(format!("{} {}", mx.preference, mx.exchange)),
        RData::SRV(srv) => Some(format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target)),
        RData::TXT(txt) => String::try_from(txt.clone()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME, MX};

    fn probe(server: Option<SocketAddr>, expect: &[&str]) -> DnsProbe {
        let expect = expect.iter().map(|text| (*text).to_owned()).collect();
        DnsProbe { name: "web.example.com".into(), record: RecordType::A, server, expect }
    }

    /// The reply to a question: an alias and two addresses, or a code.
    fn reply(question: &[u8], code: RCODE) -> Packet<'_> {
        let mut packet = Packet::parse(question).unwrap().into_reply();
        *packet.rcode_mut() = code;
        if code == RCODE::NoError {
            let record = |name, data| ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, data);
            packet.answers = vec![
                record("web.example.com", RData::CNAME(CNAME(Name::new_unchecked("h.example.com")))),
                record("h.example.com", RData::A(A { address: Ipv4Addr::new(192, 0, 2, 1).into() })),
                record("h.example.com", RData::A(A { address: Ipv4Addr::new(192, 0, 2, 2).into() })),
            ];
        }
        packet
    }

    /// A name server that answers each datagram by `answer`, the first `deaf` of them not at all.
    async fn server(deaf: usize, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            for heard in 0.. {
                let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
                if heard >= deaf {
                    // One that is for somebody else comes first.
                    socket.send_to(b"\0", from).await.unwrap();
                    socket.send_to(&answer(&buffer[..count]), from).await.unwrap();
                }
            }
        });
        address
    }

    async fn answer(probe: &DnsProbe) -> Answer {
        timeout(Duration::from_secs(30), ask(probe, Path::new("/nonexistent"))).await.unwrap()
    }

    #[tokio::test]
    async fn a_name_is_asked_for_until_somebody_answers() {
        let server = server(1, |it| reply(it, RCODE::NoError).build_bytes_vec_compressed().unwrap()).await;
        let found = answer(&probe(Some(server), &["192.0.2.2"])).await;
        assert_eq!((found.status, found.message.as_str()), (Status::Up, "192.0.2.1, 192.0.2.2"));
        let missed = answer(&probe(Some(server), &["192.0.2.1", "192.0.2.9"])).await;
        assert_eq!(missed.message, "192.0.2.9 is not among 192.0.2.1, 192.0.2.2");
        let other = DnsProbe { record: RecordType::Mx, ..probe(Some(server), &[]) };
        assert_eq!(answer(&other).await.message, "web.example.com has no record MX");
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        for (code, expected) in [
            (RCODE::NameError, "there is no name web.example.com"),
            (RCODE::ServerFailure, "the server answers ServerFailure"),
        ] {
            let server = server(0, move |it| reply(it, code).build_bytes_vec().unwrap()).await;
            let answer = answer(&probe(Some(server), &[])).await;
            assert_eq!((answer.status, answer.message.as_str()), (Status::Down, expected));
        }
        let garbage = server(0, |it| [it.get(..2).unwrap(), &[0xff; 40]].concat()).await;
        assert!(answer(&probe(Some(garbage), &[])).await.message.contains("not DNS"));
        let echo = server(0, <[u8]>::to_vec).await;
        assert_eq!(answer(&probe(Some(echo), &[])).await.message, "what was answered is a question");
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(answer(&probe(Some(closed), &[])).await.message.contains("refused"));
        let answer = answer(&probe(None, &[])).await;
        assert_eq!(answer.status, Status::Unknown);
        assert!(answer.message.contains("name a `server`"), "{answer:?}");
    }

    #[tokio::test]
    async fn an_answer_that_was_cut_is_fetched_by_tcp() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut cut = Packet::parse(&buffer[..count]).unwrap().into_reply();
            cut.set_flags(PacketFlag::TRUNCATION);
            socket.send_to(&cut.build_bytes_vec().unwrap(), from).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut question).await.unwrap();
            let whole = reply(&question, RCODE::NoError).build_bytes_vec().unwrap();
            stream.write_u16(whole.len() as u16).await.unwrap();
            stream.write_all(&whole).await.unwrap();
        });
        assert_eq!(answer(&probe(Some(address), &[])).await.message, "192.0.2.1, 192.0.2.2");
    }

    #[test]
    fn the_hosts_own_server_is_the_first_of_its_list() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resolv.conf");
        std::fs::write(&file, "# nameserver 9.9.9.9\nsearch x\nnameserver garbage\nnameserver 192.0.2.53\n").unwrap();
        assert_eq!(first_server(&file), Ok("192.0.2.53:53".parse().unwrap()));
        std::fs::write(&file, "search x\n").unwrap();
        assert!(first_server(&file).unwrap_err().contains("names no name server"));
    }

    #[test]
    fn records_are_told_as_people_write_them() {
        let mx = MX { preference: 10, exchange: Name::new_unchecked("mail.example.com") };
        assert_eq!(text(&RData::MX(mx)).unwrap(), "10 mail.example.com");
    }
}
