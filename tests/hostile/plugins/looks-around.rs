//! Looks for an environment, arguments, files and directories. It must find none.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        if first() {
            let said = format!(
                "environment {}, arguments {}, directories {}, passwd {}",
                std::env::vars().count(),
                std::env::args().count(),
                wasip2::filesystem::preopens::get_directories().len(),
                std::fs::read_to_string("/etc/passwd").is_ok(),
            );
            log::write(log::Level::Warn, &said, &[]);
        }
        vec![]
    }
}

export!(Plugin);
