use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;

use memmap2::MmapMut;

const PAGE: u64 = 4096;

/// What is in a file, in pages of its own: they go back to the system as soon as this is dropped. Of a vector, the allocator
/// would keep them for later, and an agent that has loaded many plugins would stay as large as that for good.
#[derive(Debug)]
pub(super) struct Content {
    pages: Option<MmapMut>,
    length: usize,
}

impl Content {
    /// What is in the file; none if that is more than so much.
    pub(super) fn read(file: &mut File, most: u64) -> io::Result<Option<Self>> {
        let mut content = Self { pages: None, length: 0 };
        loop {
            // One byte more than there should be says whether there is more.
            let (told, read, most) = (file.metadata()?.len(), content.length as u64, most.saturating_add(1));
            let room = told.saturating_add(1).max(2 * read).max(PAGE).min(most);
            if told >= most || room <= read {
                return Ok(None);
            }
            let mut pages = MmapMut::map_anon(usize::try_from(room).map_err(io::Error::other)?)?;
            if let Some(place) = pages.get_mut(..content.length) {
                place.copy_from_slice(&content);
            }
            content.pages = Some(pages);
            if content.fill(file)? {
                return Ok(Some(content));
            }
        }
    }

    /// Reads until the end, which is true, or until there is no room.
    fn fill(&mut self, file: &mut File) -> io::Result<bool> {
        let mut room = self.pages.as_deref_mut().and_then(|pages| pages.get_mut(self.length..)).unwrap_or_default();
        while !room.is_empty() {
            let count = match file.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if count == 0 {
                return Ok(true);
            }
            self.length += count;
            room = room.get_mut(count..).unwrap_or_default();
        }
        Ok(false)
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.pages.as_deref().and_then(|pages| pages.get(..self.length)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn read(bytes: &[u8], most: u64) -> Option<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        Content::read(&mut file, most).unwrap().map(|content| content.to_vec())
    }

    #[test]
    fn all_of_it_or_nothing_if_that_is_too_much() {
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|n: u32| n as u8).collect();
            let length = u64::from(length);
            assert_eq!(read(&bytes, length), Some(bytes.clone()), "{length}");
            assert_eq!(read(&bytes, length + 1), Some(bytes.clone()), "{length}");
            assert!(length == 0 || read(&bytes, length - 1).is_none(), "{length}");
        }
    }

    #[test]
    fn a_file_that_tells_no_length_is_read_to_its_end_as_well() {
        let mut file = File::open("/proc/self/status").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        let content = Content::read(&mut file, 1 << 20).unwrap().unwrap();
        assert!(content.starts_with(b"Name:") && content.ends_with(b"\n"));
        assert!(Content::read(&mut File::open("/proc/self/status").unwrap(), 100).unwrap().is_none());
    }
}
