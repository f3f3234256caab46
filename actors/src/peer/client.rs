//! The client conversation at the hub. Nothing but translation.

use std::time::Duration;

use phalanx_core::hub::{ClientReply, ClientRequest};
use phalanx_protocol::client::{
    Abort, ClientToHub, EngineLeft, HubToClient, Leave, Open, Ping, Received, Refused, Shutdown,
    StatusReply, StatusRequest,
};
use phalanx_protocol::explain::ExplainRequest;
use phalanx_protocol::query::{Purge, RecordsReply, RecordsRequest, Watch};

/// What a client's message asks of the hub.
pub fn client_request(message: ClientToHub) -> ClientRequest {
    match message {
        ClientToHub::Open(Open { resume, name }) => ClientRequest::Open { resume, name },
        ClientToHub::Define(define) => ClientRequest::Define(define),
        ClientToHub::Submit(spec) => ClientRequest::Submit(spec),
        ClientToHub::Received(Received { up_to }) => ClientRequest::Received(up_to),
        ClientToHub::Abort(Abort { tasks, kill_after_ms }) => {
            ClientRequest::Abort(tasks, kill_after_ms.map(Duration::from_millis))
        }
        ClientToHub::Watch(Watch { tasks }) => ClientRequest::Watch(tasks),
        ClientToHub::RecordsRequest(RecordsRequest { request, select }) => {
            ClientRequest::Records(request, select)
        }
        ClientToHub::Purge(Purge { request, what }) => ClientRequest::Purge(request, what),
        ClientToHub::StatusRequest(StatusRequest { request }) => ClientRequest::Status(request),
        ClientToHub::Shutdown(Shutdown { request, scope }) => {
            ClientRequest::Shutdown(request, scope)
        }
        ClientToHub::Ping(Ping { request }) => ClientRequest::Ping(request),
        ClientToHub::ExplainRequest(ExplainRequest { request, task }) => {
            ClientRequest::Explain(request, task)
        }
        ClientToHub::Leave(Leave { abort_open }) => ClientRequest::Leave { abort_open },
    }
}

/// What the hub tells a client, as it travels.
pub fn client_message(reply: ClientReply) -> HubToClient {
    match reply {
        ClientReply::Opened(opened) => HubToClient::Opened(*opened),
        ClientReply::Accepted(accepted) => HubToClient::Accepted(accepted),
        ClientReply::Delivery(delivery) => HubToClient::Delivery(*delivery),
        ClientReply::Output(output) => HubToClient::Output(*output),
        ClientReply::EngineJoined(info) => HubToClient::EngineJoined(*info),
        ClientReply::EngineLeft(engine, cause) => {
            HubToClient::EngineLeft(EngineLeft { engine, cause })
        }
        ClientReply::Status(request, status) => {
            HubToClient::Status(StatusReply { request, status: *status })
        }
        ClientReply::Records(request, records, next) => {
            HubToClient::Records(RecordsReply { request, records, next })
        }
        ClientReply::Explanation(explanation) => HubToClient::Explanation(*explanation),
        ClientReply::Pong(request) => HubToClient::Pong(Ping { request }),
        ClientReply::Refused(request, code, detail) => {
            HubToClient::Refused(Refused { request, code: Some(code), detail })
        }
    }
}

#[cfg(test)]
mod tests {
    use phalanx_protocol::client::{Accepted, Grant, Opened, Resume, Scope};
    use phalanx_protocol::error::ErrorCode;
    use phalanx_protocol::explain::Explanation;
    use phalanx_protocol::function::{Define, Digest};
    use phalanx_protocol::ids::{ClientId, EngineId, Epoch, RequestId, TaskId};
    use phalanx_protocol::outcome::{Delivery, Outcome, RunTimes};
    use phalanx_protocol::output::Output;
    use phalanx_protocol::payload::Payload;
    use phalanx_protocol::peer::{ClusterStatus, EngineInfo};
    use phalanx_protocol::query::{Cursor, Purged, Select, TaskRecord};
    use phalanx_protocol::task::{Target, TaskSpec};

    use super::*;

    const TASK: TaskId = TaskId::new(ClientId(7), 42);

    #[test]
    fn each_message_of_a_client_is_the_request_it_names() {
        let resume = Resume { epoch: Epoch(1), client: ClientId(7), token: 9 };
        let spec = TaskSpec {
            id: TASK,
            target: Target::Any,
            method: "m".try_into().unwrap(),
            payload: Payload::empty(),
            options: None,
            function: None,
        };
        let define =
            Define { number: 3, digest: Digest([7; 16]), reset: true, payload: Payload::empty() };
        let table = [
            (
                ClientToHub::Open(Open { resume: Some(resume), name: "n".into() }),
                ClientRequest::Open { resume: Some(resume), name: "n".into() },
            ),
            (ClientToHub::Define(define.clone()), ClientRequest::Define(define)),
            (ClientToHub::Submit(spec.clone()), ClientRequest::Submit(spec)),
            (ClientToHub::Received(Received { up_to: 5 }), ClientRequest::Received(5)),
            (
                ClientToHub::Abort(Abort { tasks: vec![TASK], kill_after_ms: Some(1_500) }),
                ClientRequest::Abort(vec![TASK], Some(Duration::from_millis(1_500))),
            ),
            (ClientToHub::Watch(Watch { tasks: vec![TASK] }), ClientRequest::Watch(vec![TASK])),
            (
                ClientToHub::RecordsRequest(RecordsRequest {
                    request: RequestId(4),
                    select: Select::Tasks(vec![TASK]),
                }),
                ClientRequest::Records(RequestId(4), Select::Tasks(vec![TASK])),
            ),
            (
                ClientToHub::Purge(Purge { request: RequestId(5), what: Purged::All }),
                ClientRequest::Purge(RequestId(5), Purged::All),
            ),
            (
                ClientToHub::ExplainRequest(ExplainRequest { request: RequestId(6), task: TASK }),
                ClientRequest::Explain(RequestId(6), TASK),
            ),
            (
                ClientToHub::StatusRequest(StatusRequest { request: RequestId(1) }),
                ClientRequest::Status(RequestId(1)),
            ),
            (
                ClientToHub::Shutdown(Shutdown { request: RequestId(2), scope: Scope::Cluster }),
                ClientRequest::Shutdown(RequestId(2), Scope::Cluster),
            ),
            (ClientToHub::Ping(Ping { request: RequestId(3) }), ClientRequest::Ping(RequestId(3))),
            (
                ClientToHub::Leave(Leave { abort_open: true }),
                ClientRequest::Leave { abort_open: true },
            ),
        ];
        for (message, request) in table {
            assert_eq!(client_request(message), request);
        }
    }

    #[test]
    fn each_reply_of_the_hub_is_the_message_it_names() {
        let opened = Opened { client: ClientId(7), ..Opened::default() };
        let accepted = Accepted { next_seq: 3, grant: Grant { seq_end: 9, bytes_end: 10 } };
        let delivery = Delivery {
            number: 1,
            task: TASK,
            outcome: Outcome::Aborted,
            engine: None,
            attempts: 0,
            times: RunTimes::default(),
            payload: Payload::empty(),
            output: None,
            tried: Vec::new(),
        };
        let output = Output { attempt: TASK.attempt(1), offset: 4, chunks: Vec::new() };
        let info = EngineInfo { id: EngineId(3), ..EngineInfo::default() };
        let record = TaskRecord { task: TASK, ..TaskRecord::default() };
        let next = Cursor { open_after: Some(TASK), ended_from: None };
        let status = ClusterStatus { uptime_ms: 4, ..ClusterStatus::default() };
        let table = [
            (ClientReply::Opened(Box::new(opened.clone())), HubToClient::Opened(opened)),
            (ClientReply::Accepted(accepted), HubToClient::Accepted(accepted)),
            (ClientReply::Delivery(Box::new(delivery.clone())), HubToClient::Delivery(delivery)),
            (ClientReply::Output(Box::new(output.clone())), HubToClient::Output(output)),
            (
                ClientReply::Explanation(Box::default()),
                HubToClient::Explanation(Explanation::default()),
            ),
            (ClientReply::EngineJoined(Box::new(info.clone())), HubToClient::EngineJoined(info)),
            (
                ClientReply::EngineLeft(EngineId(3), "silence".into()),
                HubToClient::EngineLeft(EngineLeft {
                    engine: EngineId(3),
                    cause: "silence".into(),
                }),
            ),
            (
                ClientReply::Status(RequestId(1), Box::new(status.clone())),
                HubToClient::Status(StatusReply { request: RequestId(1), status }),
            ),
            (
                ClientReply::Records(RequestId(4), vec![record.clone()], Some(next)),
                HubToClient::Records(RecordsReply {
                    request: RequestId(4),
                    records: vec![record],
                    next: Some(next),
                }),
            ),
            (ClientReply::Pong(RequestId(2)), HubToClient::Pong(Ping { request: RequestId(2) })),
            (
                ClientReply::Refused(RequestId(3), ErrorCode::NoHost, "no".into()),
                HubToClient::Refused(Refused {
                    request: RequestId(3),
                    code: Some(ErrorCode::NoHost),
                    detail: "no".into(),
                }),
            ),
        ];
        for (reply, message) in table {
            assert_eq!(client_message(reply), message);
        }
    }
}
