//! Values made of arbitrary bytes.

/// Bytes that are used up from the front; when there are none left, they are zeros.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// All of them.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there are none left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` of them, or as many as there are.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A small number.
    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A number of any size.
    pub(crate) fn number(&mut self) -> u64 {
        self.take(8).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Text: often short, sometimes absurdly long.
    pub(crate) fn text(&mut self) -> String {
        let length = self.byte();
        let text = String::from_utf8_lossy(self.take(usize::from(length & 0x3f))).into_owned();
        if length == 0xff { text.repeat(1000) } else { text }
    }

    /// A list: often of a few, sometimes of more than anybody takes.
    pub(crate) fn list<T: Clone>(&mut self, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = self.byte();
        let list: Vec<T> = (0..length & 0x7).map_while(|_| (!self.is_empty()).then(|| element(self))).collect();
        let absurd = if length == 0xff { 300 } else { 1 };
        list.iter().cycle().take(list.len() * absurd).cloned().collect()
    }
}
