//! Network interfaces: what went through them since they came up.

use super::{Reader, Source, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::{Fault, Kept};

/// With where each is among the eight numbers of a direction.
const COUNTS: [(&str, usize); 4] = [
    ("system.network.io", 0),
    ("system.network.packet.count", 1),
    ("system.network.errors", 2),
    ("system.network.packet.dropped", 3),
];

pub(super) const SOURCE: Source = Source {
    name: "network",
    metrics: &[
        "system.network.io",
        "system.network.packet.count",
        "system.network.errors",
        "system.network.packet.dropped",
    ],
    open: |root| Box::new(Networks(Kept::new(root.join("proc/net/dev")))),
};

struct Networks(Kept);

impl Reader for Networks {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        let parsed = parse(&self.0.text()?);
        parsed.map_err(|line| Fault::garbage(self.0.path(), format!("the line {line:?}")))
    }
}

/// Of `/proc/net/dev`: two lines of headings, then `NAME:` with eight numbers of what came in and eight of what went out.
/// An error is the line that is not so.
fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for line in text.lines().skip(2) {
        let wrong = || line.chars().take(80).collect::<String>();
        let (interface, numbers) = line.rsplit_once(':').ok_or_else(wrong)?;
        let numbers: Vec<u64> = numbers.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect();
        for (direction, numbers) in ["receive", "transmit"].into_iter().zip(numbers.chunks(8).chain([&[][..]; 2])) {
            let of = [("network.interface.name", interface.trim()), ("network.io.direction", direction)];
            for (metric, place) in COUNTS {
                let count = *numbers.get(place).ok_or_else(wrong)?;
                samples.push(sample(metric, &of, count as f64));
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Inter-|   Receive                                                |  Transmit\n \
                        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo\n";

    #[test]
    fn both_directions_of_each_interface() {
        let text = format!("{HEAD}    lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\neth0:1:99 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n");
        let samples = parse(&text).unwrap();
        assert_eq!(samples.len(), 16);
        assert_eq!(
            samples.iter().take(8).map(|sample| sample.value as u64).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
        assert_eq!(&*samples[8].series.attributes[0].1, "eth0:1", "an alias has a colon in its name");
        assert_eq!(parse(HEAD).unwrap(), []);
    }

    #[test]
    fn a_line_that_is_something_else_is_told() {
        for line in ["lo", "lo: 1 2 3", "lo: 1 2 3 4 0 0 0 0 5 6 x 8 0 0 0 0", "lo: -1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0"] {
            assert_eq!(parse(&format!("{HEAD}{line}\n")), Err(line.to_owned()));
        }
    }
}
