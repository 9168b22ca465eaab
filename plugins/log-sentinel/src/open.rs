use std::collections::VecDeque;
use std::time::Duration;

use salve_plugin_sdk::Fault;

/// How much of a line is shown.
const MAX_LINE: usize = 300;
/// How many lines are shown as grounds.
const MAX_LINES: usize = 3;

/// A fault that was raised and is not over.
pub struct Open {
    pub fault: Fault,
    /// When the last one came.
    pub last: Duration,
    /// When the last so many came as are no longer none.
    times: VecDeque<Duration>,
    pub lines: VecDeque<String>,
    /// Whether one came in the present batch that no action caused.
    pub is_news: bool,
}

impl Open {
    pub fn new(fault: Fault, at: Duration) -> Self {
        Self { fault, last: at, times: VecDeque::new(), lines: VecDeque::new(), is_news: true }
    }

    /// Takes in one more. Of the last `enough` it keeps when they came.
    pub fn take(&mut self, at: Duration, line: String, enough: usize) {
        self.last = self.last.max(at);
        self.times.push_back(self.last);
        while self.times.len() > enough {
            self.times.pop_front();
        }
        if !line.is_empty() {
            self.lines.push_back(line);
        }
        while self.lines.len() > MAX_LINES {
            self.lines.pop_front();
        }
    }

    /// Whether there were `enough` after a time.
    pub fn goes_on_since(&self, at: Duration, enough: usize) -> bool {
        self.times.len() >= enough && self.times.iter().all(|time| *time > at)
    }
}

/// A line for people: its beginning, on one line.
pub fn shown(body: &str) -> String {
    let line = body.trim();
    let line = line.get(..line.floor_char_boundary(MAX_LINE)).unwrap_or_default();
    line.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}
