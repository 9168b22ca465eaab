//! `service.*`: through whichever manager knows the service.

use crate::service::{Services, Verb};

/// Does `verb` to the service `name`; what changed (`failed (pid none) -> active (pid 4711)`), or why it did not work.
pub(super) async fn act(services: &Services, verb: Verb, name: &str) -> Result<String, String> {
    match services.act(verb, name).await {
        Ok(change) => Ok(change.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
