use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::incident::{Input, Word};

/// How long the engine may take to answer; longer only while the ledger cannot be written.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where persons' words go to the engine, and its answers come back.
#[derive(Debug)]
pub struct Desk {
    engine: mpsc::Sender<Input>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<String, String>>>>,
}

impl Desk {
    /// A desk in front of this engine.
    pub fn new(engine: mpsc::Sender<Input>) -> Self {
        Self { engine, next: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// Says it, and waits for the answer: what came of it, once that is in the ledger, or why nothing did.
    pub(super) async fn say(&self, actor: String, word: Word) -> Result<String, String> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(token, sender);
        let said = self.engine.send(Input::Told { token, actor, word }).await;
        let answer = match said {
            Ok(()) => tokio::time::timeout(PATIENCE, answer).await,
            Err(_) => return Err("the agent is ending".to_owned()),
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&token);
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the agent is ending".to_owned()),
            Err(_) => Err("it is not in the ledger yet; `salve status` says what is wrong with that".to_owned()),
        }
    }

    /// Brings an answer back.
    pub fn reply(&self, token: u64, answer: Result<String, String>) {
        if let Some(door) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&token) {
            // Whoever asked has gone: what they said is done all the same.
            let _ = door.send(answer);
        }
    }
}
