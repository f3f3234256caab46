//! The host conversation at the hub. Nothing but translation.

use phalanx_core::hub::{HostNews, HostOrder};
use phalanx_protocol::host::{
    Attach, EngineExited, HostToHub, HubToHost, KillEngine, RetireEngine, StopCluster,
};

/// What a host process's message tells the hub.
pub fn host_news(message: HostToHub) -> HostNews {
    match message {
        // The host's own process id is for logs; the shell writes it there.
        HostToHub::Attach(Attach { host, pid: _ }) => HostNews::Attach { host },
        HostToHub::EngineExited(EngineExited { name, pid, cause }) => {
            HostNews::EngineExited { name, pid, cause }
        }
    }
}

/// What the hub tells a host process, as it travels.
pub fn host_message(order: HostOrder) -> HubToHost {
    match order {
        HostOrder::StopCluster(reason) => HubToHost::StopCluster(StopCluster { reason }),
        HostOrder::Retire(name) => HubToHost::RetireEngine(RetireEngine { name }),
        HostOrder::Kill { name, pid, reason } => {
            HubToHost::KillEngine(KillEngine { name, pid, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_conversation_translates_one_to_one() {
        let attach = Attach { host: "h".into(), pid: 3 };
        assert_eq!(host_news(HostToHub::Attach(attach)), HostNews::Attach { host: "h".into() });
        let exited = EngineExited { name: "h/1".into(), pid: 4, cause: "killed".into() };
        assert_eq!(
            host_news(HostToHub::EngineExited(exited)),
            HostNews::EngineExited { name: "h/1".into(), pid: 4, cause: "killed".into() }
        );
        assert_eq!(
            host_message(HostOrder::StopCluster("asked".into())),
            HubToHost::StopCluster(StopCluster { reason: "asked".into() })
        );
        assert_eq!(
            host_message(HostOrder::Retire("h/1".into())),
            HubToHost::RetireEngine(RetireEngine { name: "h/1".into() })
        );
        let (name, reason) = ("h/1".to_owned(), "asked".to_owned());
        assert_eq!(
            host_message(HostOrder::Kill { name: name.clone(), pid: 4, reason: reason.clone() }),
            HubToHost::KillEngine(KillEngine { name, pid: 4, reason })
        );
    }
}
