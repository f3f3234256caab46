//! Cluster directories on a real disk: modes, links, staleness, names.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::resolve(Some(dir.path().join("home"))).unwrap();
    (dir, home)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn directories_and_files_are_private_from_the_start() {
    let (_dir, home) = home();
    let cluster = home.cluster(&"one".parse().unwrap());
    let lock = cluster.lock(&home).unwrap();
    lock.write_state(&serde_json::json!({"run": "r1"})).unwrap();
    for path in [home.path(), cluster.path(), &cluster.log_dir(), &home.clusters_path()] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
    }
    assert_eq!(mode(&cluster.lock_path()), 0o600);
    assert_eq!(mode(&cluster.path().join(STATE_FILE)), 0o600);
    let state: Option<serde_json::Value> = cluster.read_state().unwrap();
    assert_eq!(state.unwrap()["run"], "r1");
}

#[test]
fn a_looser_directory_is_refused_with_the_command_that_mends_it() {
    let (_dir, home) = home();
    let cluster = home.cluster(&"one".parse().unwrap());
    cluster.create(&home).unwrap();
    std::fs::set_permissions(cluster.path(), PermissionsExt::from_mode(0o750)).unwrap();
    let error = cluster.lock(&home).unwrap_err().to_string();
    let command = format!("run: chmod 700 {}", cluster.path().display());
    assert!(error.contains("mode 750") && error.contains(&command), "{error}");
    assert!(cluster.liveness().is_err());
    std::fs::set_permissions(cluster.path(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert!(cluster.lock(&home).unwrap_err().to_string().contains("chmod go-w"));
}

#[test]
fn a_link_in_the_place_of_a_cluster_is_refused() {
    let (dir, home) = home();
    home.create().unwrap();
    let cluster = home.cluster(&"one".parse().unwrap());
    std::os::unix::fs::symlink(dir.path(), cluster.path()).unwrap();
    assert!(matches!(cluster.lock(&home), Err(DirError::NotADirectory { .. })));
}

#[test]
fn a_directory_without_a_live_host_is_stale_and_removed_whole() {
    let (_dir, home) = home();
    let cluster = home.cluster(&"one".parse().unwrap());
    assert_eq!(cluster.liveness().unwrap(), Liveness::Absent);
    cluster.create(&home).unwrap();
    std::fs::write(cluster.log_file("hub"), "text").unwrap();
    assert_eq!(cluster.liveness().unwrap(), Liveness::Stale);
    assert_eq!(home.clusters().unwrap(), std::slice::from_ref(&cluster));
    cluster.lock(&home).unwrap().remove().unwrap();
    assert_eq!(cluster.liveness().unwrap(), Liveness::Absent);
    assert_eq!(home.newest().unwrap().name(), &ClusterName::default());
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    for name in ["", ".", "..", "a/b", ".hidden", "-n", "a b", &"x".repeat(65)] {
        assert!(name.parse::<ClusterName>().is_err(), "{name:?}");
    }
    for name in ["default", "run-1", "a.b", "_x"] {
        assert_eq!(name.parse::<ClusterName>().unwrap().as_str(), name);
    }
}

#[test]
fn a_relative_home_is_refused() {
    let error = Home::resolve(Some("clusters".into())).unwrap_err();
    assert!(error.to_string().contains("absolute"), "{error}");
}
