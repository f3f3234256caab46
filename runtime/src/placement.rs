//! How a cluster's scheduler places, on its way from the settings to the processes: a host tells hub
//! and scheduler by their arguments. What the schemes mean is said by [`Scheme`].

use std::ffi::OsString;

use crate::hwm::HighWaterMark;

pub use phalanx_actors::scheduling_process::{Hwm, Placement, Scheme, SchemeError};

/// The arguments that say the same to another process of the cluster; none for the defaults.
pub(crate) fn args(placement: Placement) -> Vec<OsString> {
    let mut args = Vec::new();
    if placement.scheme != Scheme::default() {
        args.extend(["--scheme", placement.scheme.as_str()].map(OsString::from));
    }
    if placement.hwm != Hwm::default() {
        args.extend(["--hwm".into(), HighWaterMark(placement.hwm).to_string().into()]);
    }
    args
}

/// What was chosen; what was not is as by default.
pub fn chosen(scheme: Option<Scheme>, hwm: Option<HighWaterMark>) -> Placement {
    Placement::default().with_scheme(scheme.unwrap_or_default()).with_hwm(hwm.unwrap_or_default().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_the_default_is_told() {
        assert!(args(chosen(None, None)).is_empty());
        assert_eq!(
            args(chosen(Some(Scheme::Lru), "3".parse().ok())),
            ["--scheme", "lru", "--hwm", "3"]
        );
    }
}
