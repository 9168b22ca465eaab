use serde::Serialize;
use serde::de::DeserializeOwned;

/// A piece that can be kept in the plugin's durable [`state`](crate::state) and go on after a reload, an upgrade or a crash.
///
/// ```
/// # use std::time::Duration;
/// use salve_plugin_sdk::detect::{Resume, Trend};
/// use salve_plugin_sdk::state;
///
/// let mut growth = Trend::new(Duration::from_secs(3600)).resume(state::get("growth"));
/// growth.push(5_000_000_000_u64, 0.25);
/// state::set("growth", &growth)?;
/// # Ok::<(), String>(())
/// ```
pub trait Resume: Sized + Serialize + DeserializeOwned {
    /// Whether `other` was set up in the same way, so that what it has learnt is of use.
    fn is_like(&self, other: &Self) -> bool;

    /// What was kept, if it was set up like this one; otherwise this one, which begins anew.
    fn resume(self, kept: Option<Self>) -> Self {
        match kept {
            Some(kept) if self.is_like(&kept) => kept,
            _ => self,
        }
    }
}

/// [`Resume`] for a piece whose set-up is its field `setup`.
macro_rules! resume {
    ($piece:ty) => {
        impl $crate::detect::Resume for $piece {
            fn is_like(&self, other: &Self) -> bool {
                self.setup == other.setup
            }
        }
    };
}

pub(super) use resume;
