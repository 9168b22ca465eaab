//! What the kernel's process connector says: `nlmsghdr`, `cn_msg` and `proc_event` (linux/netlink.h, linux/connector.h,
//! linux/cn_proc.h), in the host's byte order.

use super::ending::Ending;

/// Something the connector said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// An answer to a request; 0 or an error number.
    Answer(u32),
    /// A process made another.
    Fork {
        /// Which one.
        parent: u32,
        /// The other.
        child: u32,
    },
    /// A process executes another program.
    Exec(u32),
    /// A thread of a process ended; the first has the process's own number.
    Exit {
        /// Of which process.
        process: u32,
        /// Which one.
        thread: u32,
        /// How.
        ending: Ending,
    },
    /// Anything else.
    Other,
}

/// Events that can be asked for (`enum proc_cn_event`).
pub(super) const FORK: u32 = 0x1;
/// A program is executed.
pub(super) const EXEC: u32 = 0x2;
/// A thread ended.
pub(super) const EXIT: u32 = 0x8000_0000;

/// `CN_IDX_PROC` and `CN_VAL_PROC`; the first is also the multicast group.
pub(super) const PROC: u32 = 1;
const LISTEN: u32 = 1;
const NLMSG_DONE: u16 = 3;
/// Where the event begins: after `nlmsghdr` and `cn_msg`.
const HEADERS: usize = 36;
/// Where what it says begins: after what it is, on which CPU and when.
const DATA: usize = HEADERS + 16;

/// Asks for events, for all of them or for those of `events` only: kernels before 6.6 know no choice and ignore that.
pub(super) fn listen(events: Option<u32>) -> Vec<u8> {
    let mut body = LISTEN.to_ne_bytes().to_vec();
    body.extend(events.map(u32::to_ne_bytes).into_iter().flatten());
    let size = HEADERS + body.len();
    let mut message = Vec::with_capacity(size);
    message.extend((size as u32).to_ne_bytes());
    message.extend(NLMSG_DONE.to_ne_bytes());
    // Flags; sequence and port of nlmsghdr; then PROC, PROC, sequence and acknowledgement of cn_msg.
    message.extend([0; 2 + 4 + 4]);
    message.extend(PROC.to_ne_bytes());
    message.extend(PROC.to_ne_bytes());
    message.extend([0; 8]);
    message.extend((body.len() as u16).to_ne_bytes());
    message.extend([0; 2]);
    message.extend(body);
    message
}

impl Message {
    /// What a datagram says; none if it is not of the connector's form.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if number(16)? != PROC || number(20)? != PROC {
            return None;
        }
        let field = |index: usize| number(DATA + 4 * index);
        Some(match number(HEADERS)? {
            0 => Self::Answer(field(0)?),
            FORK => match (field(1)?, field(2)?, field(3)?) {
                (parent, child, process) if child == process => Self::Fork { parent, child },
                _ => Self::Other,
            },
            EXEC => Self::Exec(field(1)?),
            EXIT => Self::Exit { thread: field(0)?, process: field(1)?, ending: Ending::of_status(field(2)?) },
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    // Captured on Linux 6.18, x86-64, while `sh -c 'exit 3'` ran.
    const ANSWER: &str = "4c00000003000000000000000000000001000000010000000000000001000000280000000000000000000000d33d1d94\
                          46160000000000000000000000000000000000000000000000000000";
    const FORKED: &str = "4c0000000300000001000000000000000100000001000000010000000000000028000000010000000100000085221b95\
                          461600006b6500006b65000070650000706500000000000000000000";
    const EXECUTED: &str = "4c00000003000000030000000000000001000000010000000300000000000000280000000200000000000000c5084795\
                          46160000706500007065000000000000000000000000000000000000";
    const EXITED: &str = "4c0000000300000003000000000000000100000001000000030000000000000028000000000000800100000022e00296\
                          461600006f6500006f65000000030000110000002c6500002c650000";

    #[test]
    fn captured_messages_are_read() {
        assert_eq!(Message::parse(&bytes(ANSWER)), Some(Message::Answer(0)));
        assert_eq!(Message::parse(&bytes(FORKED)), Some(Message::Fork { parent: 0x656b, child: 0x6570 }));
        assert_eq!(Message::parse(&bytes(EXECUTED)), Some(Message::Exec(0x6570)));
        let ending = Ending { code: Some(3), signal: None, core_dumped: None };
        let expected = Message::Exit { process: 0x656f, thread: 0x656f, ending };
        assert_eq!(Message::parse(&bytes(EXITED)), Some(expected));
    }

    #[test]
    fn a_request_has_the_lengths_that_it_says() {
        for (request, size, body) in [(listen(None), 40, 4), (listen(Some(EXIT | EXEC)), 44, 8)] {
            assert_eq!((request.len(), request[0], request[32]), (size, size as u8, body));
        }
    }

    #[test]
    fn a_thread_is_no_process() {
        let mut thread = bytes(FORKED);
        thread[DATA + 8] = 0x71;
        assert_eq!(Message::parse(&thread), Some(Message::Other));
    }

    proptest! {
        #[test]
        fn garbage_and_parts_are_no_message_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Message::parse(&bytes);
        }

        #[test]
        fn a_cut_message_is_none(length in 0..DATA) {
            prop_assert_eq!(Message::parse(&bytes(EXITED)[..length]), None);
        }
    }
}
