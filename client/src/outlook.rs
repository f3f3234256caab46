//! Whether a hub that was lost may come again, as far as whoever connected can tell.
//!
//! The driver asks while it looks for another session. What the answer rests on is the caller's: this
//! knows no clusters and no files.

use std::sync::Arc;
use std::time::Duration;

/// Between two questions while a session is looked for.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Says whether a hub may come again. Without a question there is always hope.
#[derive(Clone, Default)]
pub(crate) struct Outlook {
    may_come: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl std::fmt::Debug for Outlook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlook").field("is_asked", &self.may_come.is_some()).finish()
    }
}

impl Outlook {
    /// Asks by `may_come`.
    pub(crate) fn new(may_come: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { may_come: Some(Arc::new(may_come)) }
    }

    /// Comes to its end once no hub will come any more; never if there is no question.
    pub(crate) async fn is_lost(&self) {
        let Some(may_come) = &self.may_come else {
            return std::future::pending().await;
        };
        while may_come() {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}
