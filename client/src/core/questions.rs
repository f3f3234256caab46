//! Which questions the client asked and the hub has not answered. Owned by the room.

use std::collections::BTreeMap;

use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::ids::RequestId;
use phalanx_transport::protocol::limits::REQUESTS_OPEN_MAX;

use super::RequestError;
use super::deliveries::Violation;

/// What a question is about, so that its answer can be told from another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Are you there; have you agreed.
    Alive,
    /// How is the cluster.
    Status,
    /// What is on record.
    Records,
    /// Why is a task where it is.
    Explain,
}

/// The open questions of one session; their numbers are never used again.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: BTreeMap<RequestId, Question>,
    next_request: u64,
}

impl Questions {
    /// Numbers a question.
    pub(super) fn ask(&mut self, question: Question) -> Result<RequestId, RequestError> {
        if self.open.len() >= REQUESTS_OPEN_MAX {
            return Err(RequestError::TooMany);
        }
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.open.insert(request, question);
        Ok(request)
    }

    /// Whether this answers an open question; `None` is an answer to any.
    pub(super) fn on_answer(
        &mut self,
        request: RequestId,
        question: Option<Question>,
    ) -> Result<bool, Violation> {
        match (self.open.get(&request), question) {
            (None, _) => Ok(false),
            (Some(asked), Some(answered)) if *asked != answered => {
                Err((ErrorCode::Malformed, "the answer is not to what was asked"))
            }
            (Some(_), _) => {
                self.open.remove(&request);
                Ok(true)
            }
        }
    }

    /// The session is over: these will not be answered.
    pub(super) fn cut(&mut self) -> impl Iterator<Item = RequestId> + use<> {
        std::mem::take(&mut self.open).into_keys()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.open.len() <= REQUESTS_OPEN_MAX);
        assert!(self.open.keys().all(|request| request.0 < self.next_request));
    }
}
