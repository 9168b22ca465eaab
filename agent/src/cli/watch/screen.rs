//! The terminal, as far as a page that is drawn again and again needs one.

use std::io::{ErrorKind, Write, stdout};

use rustix::termios::tcgetwinsize;

/// Where nobody knows how large the terminal is.
const SIZE: (usize, usize) = (100, 40);

const CLEAR: &str = "\x1b[2J";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// A terminal whose cursor is hidden; it is shown again at the end, whatever ends it.
pub(super) struct Screen;

impl Screen {
    /// An empty one.
    pub(super) fn new() -> std::io::Result<Self> {
        write(&format!("{HIDE_CURSOR}{CLEAR}"))?;
        Ok(Self)
    }

    /// Draws the lines over what was there: nothing is cleared first, so that nothing flickers. What does not fit is cut.
    pub(super) fn draw(&self, lines: &[String]) -> std::io::Result<()> {
        let (width, height) = size();
        let mut frame = HOME.to_owned();
        for line in lines.iter().take(height.saturating_sub(1)) {
            frame.extend(line.chars().filter(|sign| !sign.is_control()).take(width));
            frame += CLEAR_LINE;
            frame += "\r\n";
        }
        frame += CLEAR_BELOW;
        write(&frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        drop(write(SHOW_CURSOR));
    }
}

/// Columns and lines.
pub(super) fn size() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => SIZE,
    }
}

/// Prints at once; whether somebody still reads.
pub(super) fn print(text: &str) -> std::io::Result<bool> {
    match write(text) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
