//! What a plugin of Nagios says: text, and after a `|` what it measured, by the Monitoring Plugins Development Guidelines
//! (<https://www.monitoring-plugins.org/doc/guidelines.html>, "Plugin Output for Nagios" and "Performance data").

/// Values of one run that are kept.
const MAX_DATA: usize = 100;
/// Bytes of a label.
const MAX_LABEL: usize = 128;

/// One value: `'/var log'=2643MB;5948;5958;0;5968`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Datum {
    /// What was measured, without its quotes.
    pub(super) label: String,
    /// As the plugin writes it: empty, `s`, `ms`, `%`, `B`, `KB`, `c`, …
    pub(super) unit: String,
    /// In that unit.
    pub(super) value: f64,
}

/// An output, taken apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Output {
    /// The first line.
    pub(super) message: String,
    /// The text of the other lines.
    pub(super) text: String,
    /// What was measured.
    pub(super) data: Vec<Datum>,
    /// Values beyond the most that are kept.
    pub(super) dropped: u64,
}

/// Takes an output apart. What cannot be understood of the measurements is left out.
///
/// ```text
/// TEXT | PERFDATA
/// LONG TEXT
/// LONG TEXT | PERFDATA
/// PERFDATA
/// ```
pub(super) fn read(output: &str) -> Output {
    let (first, rest) = output.trim_start().split_once('\n').unwrap_or((output.trim_start(), ""));
    let (message, first_data) = first.split_once('|').unwrap_or((first, ""));
    let (text, more_data) = rest.split_once('|').unwrap_or((rest, ""));
    let mut read = Output { message: message.trim().into(), text: text.trim().into(), ..Output::default() };
    for datum in words(first_data).into_iter().chain(words(more_data)).filter_map(datum) {
        // The same label twice would be the same series twice: the later one counts.
        read.data.retain(|known| (&known.label, &known.unit) != (&datum.label, &datum.unit));
        if read.data.len() == MAX_DATA {
            read.dropped += 1;
        } else {
            read.data.push(datum);
        }
    }
    read
}

/// Divides at white space outside of single quotes.
fn words(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let divides = |char: char| {
        is_quoted ^= char == '\'';
        char.is_whitespace() && !is_quoted
    };
    text.split(divides).filter(|word| !word.is_empty()).collect()
}

/// `label=value[unit];warn;crit;min;max`, of which all behind the value may be missing. A value `U` is not known.
fn datum(word: &str) -> Option<Datum> {
    let (label, rest) = word.rsplit_once('=')?;
    let label = match label.strip_prefix('\'') {
        Some(quoted) => quoted.strip_suffix('\'')?.replace("''", "'"),
        None => label.to_owned(),
    };
    let (value, _) = rest.split_once(';').unwrap_or((rest, ""));
    let digits = value.find(|char: char| !(char.is_ascii_digit() || "+-.,".contains(char))).unwrap_or(value.len());
    let (number, unit) = exponent(value, digits);
    // Plugins print by their locale, too.
    let value: f64 = number.replace(',', ".").parse().ok()?;
    let is_sound = |text: &str| !text.contains(char::is_control) && text.len() <= MAX_LABEL;
    let is_valid = !label.is_empty() && is_sound(&label) && is_sound(unit) && value.is_finite();
    is_valid.then(|| Datum { label, unit: unit.to_owned(), value })
}

/// Divides number and unit behind an exponent, if there is one: `1.5e-05s`.
fn exponent(value: &str, digits: usize) -> (&str, &str) {
    let (number, unit) = value.split_at(digits);
    let Some(power) = unit.strip_prefix(['e', 'E']) else { return (number, unit) };
    let sign = usize::from(power.starts_with(['+', '-']));
    let length = power.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    if length == 0 { (number, unit) } else { value.split_at(digits + 1 + sign + length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(output: &str) -> Vec<(String, f64, String)> {
        read(output).data.into_iter().map(|datum| (datum.label, datum.value, datum.unit)).collect()
    }

    fn of(label: &str, value: f64, unit: &str) -> (String, f64, String) {
        (label.into(), value, unit.into())
    }

    #[test]
    fn the_example_of_the_guidelines_is_read() {
        let output = "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n\
                      / 15272 MB (77%);\n/boot 68 MB (69%);\n\
                      /var/log 819 MB (84%); | /boot=68MB;88;93;0;98\n/home=69357MB;253404;253409;0;253414 \n\
                      /var/log=818MB;970;975;0;980\n";
        let read = read(output);
        assert_eq!(read.message, "DISK OK - free space: / 3326 MB (56%);");
        assert_eq!(read.text, "/ 15272 MB (77%);\n/boot 68 MB (69%);\n/var/log 819 MB (84%);");
        let expected =
            [of("/", 2643.0, "MB"), of("/boot", 68.0, "MB"), of("/home", 69357.0, "MB"), of("/var/log", 818.0, "MB")];
        assert_eq!(data(output), expected);
    }

    #[test]
    fn labels_units_and_numbers_of_the_wild() {
        let output =
            "OK|time=0.006s;;;0.000000;10 'a b'=5% 'it''s'=1c x=-1.5e-05s y=U z= =3 'q=5 e=7e n=0,25;1:2;@3:4 w";
        let expected = [of("time", 0.006, "s"), of("a b", 5.0, "%"), of("it's", 1.0, "c"), of("x", -1.5e-5, "s")];
        assert_eq!(data(output), expected, "the open quote swallows the rest");
        assert_eq!(
            data("|e=7e n=0,25;1:2;@3:4 w a=b=2 a=1 a=3"),
            [of("e", 7.0, "e"), of("n", 0.25, ""), of("a=b", 2.0, ""), of("a", 3.0, "")]
        );
        assert_eq!(read(""), Output::default());
        assert_eq!(read("just text").message, "just text");
    }

    #[test]
    fn there_is_an_end_to_what_is_measured() {
        let many: String = (0..MAX_DATA + 7).map(|n| format!(" l{n}={n}")).collect();
        let read = read(&format!("OK |{many}"));
        assert_eq!((read.data.len(), read.dropped), (MAX_DATA, 7));
    }

    proptest! {
        #[test]
        fn any_output_is_taken(output in "[a-z0-9=;|' \n,.eEU%+-]{0,80}|.{0,80}") {
            let read = read(&output);
            prop_assert!(read.data.iter().all(|datum| datum.value.is_finite() && !datum.label.is_empty()));
        }
    }
}
