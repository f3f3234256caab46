//! Settings: flag, then environment (`PHALANX_*`), then `$PHALANX_HOME/config.toml`, then default.
//!
//! The first two are clap's, which knows both names of a setting; the last two are resolved here and
//! nowhere else. Nothing is read from the current directory, and no secret is a setting.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::cluster_dir::{ClusterName, ClusterNameError, Home};
use crate::hwm::HighWaterMark;
use crate::limits;
use crate::placement::{self, Placement, Scheme, SchemeError};

/// Name of the settings file inside the home directory.
pub const CONFIG_FILE: &str = "config.toml";

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file exists and cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    Unreadable {
        /// The settings file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another user could have written it.
    #[error(
        "{} can be written by others, so it is not read; run: chmod go-w {}",
        path.display(),
        path.display()
    )]
    Writable {
        /// The settings file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("{} belongs to another user (uid {uid}), so it is not read; remove it", path.display())]
    Foreign {
        /// The settings file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// It is not TOML, or has a key that is not a setting.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The settings file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A number is outside its range.
    #[error("{setting} is {value}; it must be between {min} and {max}")]
    OutOfRange {
        /// Which setting.
        setting: &'static str,
        /// What was given.
        value: u64,
        /// Least value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// There is no such scheme.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// The cluster's name cannot be a directory name.
    #[error(transparent)]
    Name(#[from] ClusterNameError),
}

/// How a read command shows what it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// Names or ids only, one a line.
    Quiet,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line of text.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    /// Its name, as flags and the environment give it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Where the hub listens: an address, whose port may be left out (the system then chooses one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

/// Loopback: nothing is reachable from another machine unless asked.
impl Default for ListenAddress {
    fn default() -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not an address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an address; write 127.0.0.1, 10.0.0.5:7000 or [::1]:0")]
pub struct ListenAddressError(String);

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<SocketAddr>()
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
            .map(Self)
            .map_err(|_| ListenAddressError(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What `config.toml` may say. Each key has a flag and an environment variable of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ConfigFile {
    /// The cluster that commands without `--cluster` mean.
    pub cluster: Option<String>,
    /// Engines that `phalanx start` starts.
    pub engines: Option<u32>,
    /// Where the hub listens.
    pub listen: Option<ListenAddress>,
    /// Whether scheduler and DAG run in a process of their own.
    pub scheduler_process: Option<bool>,
    /// Which engine gets a task, by the name of the scheme.
    pub scheme: Option<String>,
    /// Seconds from being told to stop until being killed.
    pub stop_grace_s: Option<u64>,
    /// Python that engines run in.
    pub python: Option<PathBuf>,
    /// How many balanced tasks an engine may have at once.
    pub hwm: Option<HighWaterMark>,
    /// How read commands show what they read.
    pub output: Option<Output>,
    /// What is logged, as a filter of the tracing kind (`info`, `phalanx_core=debug`).
    pub log: Option<String>,
    /// How log lines are written.
    pub log_format: Option<LogFormat>,
}

/// Settings of one command: what the flags and the environment said meets the file here.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    file: ConfigFile,
}

impl Settings {
    /// Reads the settings file of a home directory; without one, the defaults hold.
    pub fn read(home: &Home) -> Result<Self, ConfigError> {
        let path = home.path().join(CONFIG_FILE);
        Ok(Self { file: read_file(&path)?.unwrap_or_default() })
    }

    /// The cluster that was named, if any was. Commands that read choose the newest one without it.
    pub fn cluster_named(&self, given: Option<String>) -> Result<Option<ClusterName>, ConfigError> {
        let name = given.or_else(|| self.file.cluster.clone());
        Ok(name.map(|name| name.parse()).transpose()?)
    }

    /// The cluster a start makes.
    pub fn cluster(&self, given: Option<String>) -> Result<ClusterName, ConfigError> {
        Ok(self.cluster_named(given)?.unwrap_or_default())
    }

    /// How many engines to start: by default one for each processor.
    pub fn engines(&self, given: Option<u32>) -> Result<u32, ConfigError> {
        let default = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let engines = given.or(self.file.engines).unwrap_or_else(default);
        let max = limits::ENGINES_MAX;
        within("the number of engines", engines.into(), 0, max.into()).map(|_| engines)
    }

    /// Where the hub listens: by default on loopback.
    pub fn listen(&self, given: Option<ListenAddress>) -> ListenAddress {
        given.or(self.file.listen).unwrap_or_default()
    }

    /// Whether scheduler and DAG run in a process of their own: by default in the hub's.
    pub fn scheduler_process(&self, given: bool) -> bool {
        given || self.file.scheduler_process.unwrap_or(false)
    }

    /// How the scheduler places: by default the least loaded engine, ahead by measured run time.
    pub fn placement(
        &self,
        scheme: Option<Scheme>,
        hwm: Option<HighWaterMark>,
    ) -> Result<Placement, ConfigError> {
        let of_file = || self.file.scheme.as_deref().map(str::parse).transpose();
        let scheme = scheme.map_or_else(of_file, |scheme| Ok(Some(scheme)))?;
        Ok(placement::chosen(scheme, Some(self.hwm(hwm))))
    }

    /// From being told to stop until being killed.
    pub fn stop_grace(&self, given_s: Option<u64>) -> Result<Duration, ConfigError> {
        let default = limits::STOP_GRACE.as_secs();
        let seconds = given_s.or(self.file.stop_grace_s).unwrap_or(default);
        let max = limits::STOP_GRACE_MAX.as_secs();
        within("stop_grace_s", seconds, 0, max).map(Duration::from_secs)
    }

    /// Python that engines run in, if one was named; by default the one beside the command.
    pub fn python(&self, given: Option<PathBuf>) -> Option<PathBuf> {
        given.or_else(|| self.file.python.clone())
    }

    /// How many balanced tasks an engine may have at once: by default by measured run time.
    pub fn hwm(&self, given: Option<HighWaterMark>) -> HighWaterMark {
        given.or(self.file.hwm).unwrap_or_default()
    }

    /// How read commands show what they read.
    pub fn output(&self, given: Option<Output>) -> Output {
        given.or(self.file.output).unwrap_or_default()
    }

    /// What is logged.
    pub fn log(&self, given: Option<String>) -> String {
        given.or_else(|| self.file.log.clone()).unwrap_or_else(|| "info".to_owned())
    }

    /// How log lines are written.
    pub fn log_format(&self, given: Option<LogFormat>) -> LogFormat {
        given.or(self.file.log_format).unwrap_or_default()
    }
}

fn within(setting: &'static str, value: u64, min: u64, max: u64) -> Result<u64, ConfigError> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::OutOfRange { setting, value, min, max })
    }
}

/// The settings file, or `None` without one. Whoever can write it chooses what gets started, so a
/// file that others can write is refused.
fn read_file(path: &Path) -> Result<Option<ConfigFile>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    let uid = metadata.uid();
    if uid != rustix::process::geteuid().as_raw() && uid != 0 {
        return Err(ConfigError::Foreign { path: path.to_owned(), uid });
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(ConfigError::Writable { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(limits::STATE_LEN_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let malformed =
        |source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) };
    toml::from_str(&text).map(Some).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn settings(text: &str) -> Settings {
        Settings { file: toml::from_str(text).expect("the test's settings are well formed") }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = settings("engines = 3\noutput = \"json\"\nlisten = \"10.0.0.5\"\n");
        assert_eq!(file.engines(Some(7)).unwrap(), 7);
        assert_eq!(file.engines(None).unwrap(), 3);
        assert!(settings("").engines(None).unwrap() >= 1);
        assert_eq!(file.output(Some(Output::Quiet)), Output::Quiet);
        assert_eq!(file.output(None), Output::Json);
        assert_eq!(settings("").output(None), Output::Table);
        assert_eq!(file.listen(None).to_string(), "10.0.0.5:0");
        let python = settings("python = \"/opt/python3\"");
        assert_eq!(python.python(None), Some("/opt/python3".into()));
        assert_eq!(python.python(Some("other".into())), Some("other".into()));
        assert_eq!(settings("").python(None), None);
        assert_eq!(settings("hwm = 3").hwm(None).to_string(), "3");
        assert_eq!(settings("hwm = \"adaptive\"").hwm(None).to_string(), "adaptive");
        assert_eq!(settings("hwm = 3").hwm("4".parse().ok()).to_string(), "4");
        assert_eq!(settings("").hwm(None).to_string(), "adaptive");
        assert!(toml::from_str::<ConfigFile>("hwm = -1").is_err());
    }

    #[test]
    fn a_scheme_is_chosen_by_flag_or_file_and_an_unknown_one_refused() {
        let file = settings("scheme = \"twobin\"\nhwm = 2\n");
        let chosen = file.placement(None, None).unwrap();
        assert_eq!((chosen.scheme, chosen.hwm), (Scheme::TwoBin, placement::Hwm::Fixed(2)));
        assert_eq!(file.placement(Some(Scheme::Lru), None).unwrap().scheme, Scheme::Lru);
        assert_eq!(settings("").placement(None, None).unwrap(), Placement::default());
        let error = settings("scheme = \"first\"").placement(None, None).unwrap_err();
        assert!(error.to_string().starts_with("\"first\" is not a scheme"), "{error}");
    }

    #[test]
    fn the_default_listens_on_loopback_only() {
        assert!(settings("").listen(None).0.ip().is_loopback());
    }

    #[test]
    fn numbers_outside_their_range_are_refused_by_name() {
        let error = settings("").engines(Some(limits::ENGINES_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("number of engines is 1025"), "{error}");
        assert!(settings("stop_grace_s = 100000").stop_grace(None).is_err());
    }

    #[test]
    fn an_address_may_leave_out_its_port() {
        for (text, meant) in
            [("127.0.0.1", "127.0.0.1:0"), ("[::1]:70", "[::1]:70"), ("::1", "[::1]:0")]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), meant);
        }
        assert!("example:4".parse::<ListenAddress>().is_err());
    }

    #[test]
    fn a_file_with_an_unknown_key_or_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG_FILE);
        assert_eq!(read_file(&path).unwrap(), None);
        std::fs::write(&path, "engine = 3\n").unwrap();
        let error = read_file(&path).unwrap_err();
        assert!(error.to_string().contains("unknown field `engine`"), "{error}");
        std::fs::write(&path, "engines = 3\n").unwrap();
        assert_eq!(read_file(&path).unwrap().unwrap().engines, Some(3));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        let error = read_file(&path).unwrap_err();
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }
}
