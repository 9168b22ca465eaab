use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A gate of a fault tree, of one of four kinds:
///
/// ```toml
/// any = ["the database is down", "the cache is down"]      # OR
/// all = ["the leader is down", "the follower is down"]     # AND
/// at-least = 2                                             # k of n (VOTE)
/// of = ["a is down", "b is down", "c is down"]
/// not = "the deployment is under way"                      # NOT
/// ```
///
/// An input is the name of an event, the name of a gate, or a gate in place: `any = ["a", { all = ["b", "c"] }]`.
/// Whether a gate makes sense is checked by [`FaultTree::new`](super::FaultTree::new), which can say where it stands.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gate {
    /// Holds if one of these does.
    pub(super) any: Option<Vec<Input>>,
    /// Holds if every one of these does.
    pub(super) all: Option<Vec<Input>>,
    /// Holds if so many do of those in `of`.
    pub(super) at_least: Option<usize>,
    /// What `at-least` counts.
    pub(super) of: Option<Vec<Input>>,
    /// Holds if this does not.
    pub(super) not: Option<Box<Input>>,
}

impl Gate {
    /// OR: holds if one of these does.
    pub fn any<I: Into<Input>>(inputs: impl IntoIterator<Item = I>) -> Self {
        Self { any: Some(list(inputs)), ..Self::default() }
    }

    /// AND: holds if every one of these does.
    pub fn all<I: Into<Input>>(inputs: impl IntoIterator<Item = I>) -> Self {
        Self { all: Some(list(inputs)), ..Self::default() }
    }

    /// k of n (VOTE): holds if at least `k` of these do.
    pub fn at_least<I: Into<Input>>(k: usize, of: impl IntoIterator<Item = I>) -> Self {
        Self { at_least: Some(k), of: Some(list(of)), ..Self::default() }
    }

    /// NOT: holds if this does not. A tree with it may be non-coherent: see [`CutSets`](super::CutSets).
    pub fn not(input: impl Into<Input>) -> Self {
        Self { not: Some(Box::new(input.into())), ..Self::default() }
    }
}

fn list<I: Into<Input>>(inputs: impl IntoIterator<Item = I>) -> Vec<Input> {
    inputs.into_iter().map(Into::into).collect()
}

/// What a gate looks at: an event or a gate by its name, or a gate in place.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum Input {
    /// The name of an event or of a gate.
    Name(String),
    /// A gate without a name.
    Gate(Gate),
}

impl From<&str> for Input {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Input {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<Gate> for Input {
    fn from(gate: Gate) -> Self {
        Self::Gate(gate)
    }
}

/// By hand, because serde's untagged enums forget what was wrong inside.
impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputVisitor;

        impl<'de> Visitor<'de> for InputVisitor {
            type Value = Input;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an event or gate, or a gate such as { any = [\"a\", \"b\"] }")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Input, E> {
                Ok(name.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Input, A::Error> {
                Gate::deserialize(MapAccessDeserializer::new(map)).map(Input::Gate)
            }
        }

        deserializer.deserialize_any(InputVisitor)
    }
}
