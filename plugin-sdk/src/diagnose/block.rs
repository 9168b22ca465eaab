use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Availability;
use super::error::Place;
use crate::HumanDuration;

/// How deep blocks may be nested.
const MAX_DEPTH: usize = 64;
/// How many parts a block may have: the work for k of n grows with their square.
const MAX_PARTS: usize = 1000;

/// A reliability block diagram (IEC 61078) as data: components, and blocks of them in series, in parallel and k of n.
///
/// ```toml
/// [config.system]
/// series = [
///     0.9999,                                                           # an availability
///     { mtbf = "2000h", mttr = "4h" },
///     { parallel = [0.99, 0.99] },
///     { at-least = 2, of = [0.99, 0.99, { series = [0.999, 0.999] }] },
/// ]
/// ```
///
/// Each component counts as one of its own that fails independently: one that two branches share must stand where the
/// branches meet, or what comes out is too high.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum Block {
    /// A component of this availability, 0..1.
    Availability(f64),
    /// Anything else.
    Of(BlockOf),
}

/// A [`Block`] of one of five kinds. Made by [`Block`]'s functions or from a configuration.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BlockOf {
    /// A component of this availability, 0..1.
    availability: Option<f64>,
    /// A component: the mean time between its failures, and…
    mtbf: Option<HumanDuration>,
    /// …the mean time to repair it.
    mttr: Option<HumanDuration>,
    /// Works if all of these do.
    series: Option<Vec<Block>>,
    /// Works if one of these does.
    parallel: Option<Vec<Block>>,
    /// Works if so many do of those in `of`.
    at_least: Option<usize>,
    /// What `at-least` counts.
    of: Option<Vec<Block>>,
}

/// What is wrong with a block, and where: `series.1.at-least: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockError(String);

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BlockError {}

impl From<BlockError> for String {
    fn from(error: BlockError) -> Self {
        error.0
    }
}

impl From<f64> for Block {
    fn from(availability: f64) -> Self {
        Self::Availability(availability)
    }
}

impl Block {
    /// A component by its mean time between failures and mean time to repair.
    pub fn component(mtbf: HumanDuration, mttr: HumanDuration) -> Self {
        Self::Of(BlockOf { mtbf: Some(mtbf), mttr: Some(mttr), ..BlockOf::default() })
    }

    /// Works if all of these do.
    pub fn series<B: Into<Self>>(blocks: impl IntoIterator<Item = B>) -> Self {
        Self::Of(BlockOf { series: Some(list(blocks)), ..BlockOf::default() })
    }

    /// Works if one of these does.
    pub fn parallel<B: Into<Self>>(blocks: impl IntoIterator<Item = B>) -> Self {
        Self::Of(BlockOf { parallel: Some(list(blocks)), ..BlockOf::default() })
    }

    /// Works if at least `k` of these do.
    pub fn at_least<B: Into<Self>>(k: usize, of: impl IntoIterator<Item = B>) -> Self {
        Self::Of(BlockOf { at_least: Some(k), of: Some(list(of)), ..BlockOf::default() })
    }

    /// The availability of the whole. Fails, saying where, for an availability or a time that is none, a block that is empty
    /// or of no one kind, a k out of range, and blocks nested deeper than 64. `name` is how the configuration calls it.
    pub fn availability(&self, name: &str) -> Result<Availability, BlockError> {
        self.at(&Place::root(name), 0)
    }

    fn at(&self, place: &Place, depth: usize) -> Result<Availability, BlockError> {
        let wrong = |message: String| BlockError(place.error(message).to_string());
        if depth > MAX_DEPTH {
            return Err(wrong(format!("blocks are nested deeper than {MAX_DEPTH}")));
        }
        let of = match self {
            Self::Availability(availability) => return Availability::new(*availability).map_err(wrong),
            Self::Of(of) => of,
        };
        let all = |key: &str, blocks: &[Self]| {
            let place = place.then(key);
            if blocks.is_empty() || blocks.len() > MAX_PARTS {
                let message = format!("a block has 1 to {MAX_PARTS} parts, not {}", blocks.len());
                return Err(BlockError(place.error(message).to_string()));
            }
            let each = blocks.iter().enumerate().map(|(number, block)| block.at(&place.then(number), depth + 1));
            each.collect::<Result<Vec<_>, _>>()
        };
        match (of.availability, of.mtbf, of.mttr, &of.series, &of.parallel, of.at_least, &of.of) {
            (Some(a), None, None, None, None, None, None) => Availability::new(a).map_err(wrong),
            (None, Some(mtbf), Some(mttr), None, None, None, None) => {
                Availability::from_times(*mtbf, *mttr).map_err(wrong)
            }
            (None, None, None, Some(parts), None, None, None) => Ok(Availability::series(&all("series", parts)?)),
            (None, None, None, None, Some(parts), None, None) => Ok(Availability::parallel(&all("parallel", parts)?)),
            (None, None, None, None, None, Some(k), Some(parts)) => {
                let parts = all("of", parts)?;
                if k == 0 || k > parts.len() {
                    let message = format!("at-least: {k} is not between 1 and {}, the number of parts", parts.len());
                    return Err(wrong(message));
                }
                Ok(Availability::at_least(k, &parts))
            }
            _ => Err(wrong(KINDS.into())),
        }
    }
}

const KINDS: &str =
    "a block has one of `availability`, `series`, `parallel`, or `mtbf` and `mttr`, or `at-least` and `of`";

fn list<B: Into<Block>>(blocks: impl IntoIterator<Item = B>) -> Vec<Block> {
    blocks.into_iter().map(Into::into).collect()
}

/// By hand, because serde's untagged enums forget what was wrong inside.
impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlockVisitor;

        impl<'de> Visitor<'de> for BlockVisitor {
            type Value = Block;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an availability between 0 and 1, or a block such as { parallel = [0.99, 0.99] }")
            }

            fn visit_f64<E: Error>(self, availability: f64) -> Result<Block, E> {
                Ok(availability.into())
            }

            fn visit_i64<E: Error>(self, availability: i64) -> Result<Block, E> {
                Ok((availability as f64).into())
            }

            fn visit_u64<E: Error>(self, availability: u64) -> Result<Block, E> {
                Ok((availability as f64).into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Block, A::Error> {
                BlockOf::deserialize(MapAccessDeserializer::new(map)).map(Block::Of)
            }
        }

        deserializer.deserialize_any(BlockVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Availability, String> {
        #[derive(Deserialize)]
        struct Config {
            system: Block,
        }
        let config: Config = toml::from_str(toml).map_err(|error| error.to_string())?;
        Ok(config.system.availability("system")?)
    }

    #[test]
    fn a_system_of_every_kind_of_block() {
        let system = r#"
            [system]
            series = [
                0.9,
                1,
                { mtbf = "9h", mttr = "1h" },
                { parallel = [0.9, { availability = 0.8 }] },
                { at-least = 2, of = [0.9, { series = [0.9, 1.0] }, 0.9] },
            ]"#;
        let expected = 0.9 * 0.9 * 0.98 * 0.972;
        assert!((read(system).unwrap().value() - expected).abs() < 1e-12);
        let hours = |hours: u64| HumanDuration::from_secs(hours * 3600);
        let built = Block::series([
            0.9.into(),
            Block::component(hours(9), hours(1)),
            Block::parallel([0.9, 0.8]),
            Block::at_least(2, [0.9; 3]),
        ]);
        assert!((built.availability("system").unwrap().value() - expected).abs() < 1e-12);
    }

    #[test]
    fn an_error_says_where() {
        for (toml, error) in [
            ("system = 1.5", "system: the availability 1.5 is not between 0 and 1"),
            (
                "system = { series = [0.9, { parallel = [] }] }",
                "system.series.1.parallel: a block has 1 to 1000 parts, not 0",
            ),
            (
                "system = { series = [{ at-least = 3, of = [1, 1] }] }",
                "system.series.0: at-least: 3 is not between 1 and 2",
            ),
            ("system = { mtbf = '1h' }", "system: a block has one of"),
            ("system = { series = [1], parallel = [1] }", "system: a block has one of"),
            ("system = { mtbf = '0s', mttr = '0s' }", "system: `mtbf` and `mttr` are both 0"),
            ("system = { seris = [] }", "unknown field `seris`"),
            ("system = 'web'", "expected an availability between 0 and 1"),
        ] {
            let found = read(toml).unwrap_err();
            assert!(found.contains(error), "{toml}: {found}");
        }
        let deep = (0..100).fold(Block::from(0.9), |block, _| Block::series([block]));
        assert!(deep.availability("system").unwrap_err().to_string().contains("nested deeper than 64"));
    }
}
