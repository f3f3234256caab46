//! The name of a cluster: a word that is safe as a directory's name. Nothing else.

use std::str::FromStr;

use crate::limits;

/// The name of a cluster, which is also its directory's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The cluster that is meant when none is named.
impl Default for ClusterName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl std::fmt::Display for ClusterName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot be a cluster's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} cannot be a cluster's name; use letters, digits, '-', '_' and '.' \
     (not at the beginning), at most {max} of them",
    max = limits::CLUSTER_NAME_LEN_MAX
)]
pub struct ClusterNameError(String);

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if starts_well && text.len() <= limits::CLUSTER_NAME_LEN_MAX && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClusterNameError(text.to_owned()))
        }
    }
}
