//! Connection files and authorities on disk: never readable by others, refused when they are,
//! with the line that mends it; and no secret where it could be seen.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use phalanx_transport::identity::private_file::{PRIVATE_FILE_LEN_MAX, PrivateFileError};
use phalanx_transport::identity::{
    ClusterAuthority, ConnectionFile, ConnectionFileError, Credential, PeerIdentity,
};
use phalanx_transport::protocol::role::Role;
use tempfile::TempDir;

fn private_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    dir
}

fn file_of(credential: Credential) -> ConnectionFile {
    ConnectionFile::new("lab", vec!["127.0.0.1:4433".parse().unwrap()], credential)
}

fn saved() -> (TempDir, PathBuf, ConnectionFile) {
    let dir = private_dir();
    let path = dir.path().join("client.json");
    let file = file_of(ClusterAuthority::create().unwrap().issue(Role::Client).unwrap());
    file.save(&path).unwrap();
    (dir, path, file)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn file_error(path: &Path) -> PrivateFileError {
    match ConnectionFile::load(path) {
        Err(ConnectionFileError::File(error)) => error,
        other => panic!("loaded otherwise: {other:?}"),
    }
}

#[test]
fn a_file_comes_back_as_it_was_written() {
    let (_dir, path, file) = saved();
    assert_eq!(ConnectionFile::load(&path).unwrap(), file);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_second_save_replaces_the_first() {
    let (_dir, path, mut file) = saved();
    file.hub_addresses = vec!["127.0.0.1:9".parse().unwrap()];
    file.save(&path).unwrap();
    assert_eq!(ConnectionFile::load(&path).unwrap(), file);
}

#[test]
fn missing_directories_are_made_private() {
    let dir = private_dir();
    let path = dir.path().join("clusters/lab/client.json");
    file_of(ClusterAuthority::create().unwrap().issue(Role::Client).unwrap()).save(&path).unwrap();
    assert_eq!(mode(&dir.path().join("clusters")), 0o700);
    assert_eq!(mode(&dir.path().join("clusters/lab")), 0o700);
}

/// The umask belongs to the whole process, so the test runs itself again under another.
#[test]
fn no_umask_makes_it_looser_or_unreadable() {
    const MARK: &str = "PHALANX_TEST_UMASK_DIR";
    if let Some(dir) = std::env::var_os(MARK) {
        let path = Path::new(&dir).join("made/client.json");
        file_of(ClusterAuthority::create().unwrap().issue(Role::Client).unwrap())
            .save(&path)
            .unwrap();
        return;
    }
    let me = std::env::current_exe().unwrap();
    for umask in ["000", "077"] {
        let dir = private_dir();
        let script = format!(
            "umask {umask} && exec '{}' --exact no_umask_makes_it_looser_or_unreadable",
            me.display()
        );
        let output =
            Command::new("sh").args(["-c", &script]).env(MARK, dir.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(mode(&dir.path().join("made")), 0o700);
        assert_eq!(mode(&dir.path().join("made/client.json")), 0o600);
        assert!(ConnectionFile::load(&dir.path().join("made/client.json")).is_ok());
    }
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_line_that_mends_it() {
    let (_dir, path, _) = saved();
    for loose in [0o640, 0o604, 0o620, 0o644, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(loose)).unwrap();
        let error = file_error(&path);
        assert!(matches!(&error, PrivateFileError::LooseFile { mode, .. } if *mode == loose));
        let command = format!("chmod 600 {}", path.display());
        assert!(error.to_string().ends_with(&command), "{error}");
        // And it does mend it.
        let status = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(status.success());
        assert!(ConnectionFile::load(&path).is_ok());
    }
}

#[test]
fn the_line_is_good_for_any_path() {
    let dir = private_dir();
    let path = dir.path().join("it's a $(file).json");
    file_of(ClusterAuthority::create().unwrap().issue(Role::Client).unwrap()).save(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let PrivateFileError::LooseFile { command, .. } = file_error(&path) else {
        panic!("refused otherwise");
    };
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    assert!(ConnectionFile::load(&path).is_ok());
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let (dir, path, file) = saved();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let error = file_error(&path);
    assert!(matches!(error, PrivateFileError::LooseDirectory { .. }), "{error}");
    assert!(error.to_string().contains("chmod 700"), "{error}");
    // Nothing is written where others can look in, either.
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(ConnectionFile::load(&path).is_ok());
    assert!(file.save(&path).is_err());
}

#[test]
fn a_link_a_directory_a_pipe_and_a_giant_are_refused() {
    let (dir, path, _) = saved();
    let link = dir.path().join("link.json");
    symlink(&path, &link).unwrap();
    assert!(matches!(file_error(&link), PrivateFileError::Symlink { .. }));

    let directory = dir.path().join("directory.json");
    fs::create_dir(&directory).unwrap();
    assert!(matches!(file_error(&directory), PrivateFileError::NotAFile { .. }));

    let pipe = dir.path().join("pipe.json");
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status();
    assert!(made.unwrap().success());
    assert!(matches!(file_error(&pipe), PrivateFileError::NotAFile { .. }));

    let giant = dir.path().join("giant.json");
    fs::write(&giant, vec![b' '; PRIVATE_FILE_LEN_MAX as usize + 1]).unwrap();
    fs::set_permissions(&giant, Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(file_error(&giant), PrivateFileError::TooLong { .. }));
}

#[test]
fn a_foreign_owner_is_refused_with_the_line_that_mends_it() {
    let (_dir, path, _) = saved();
    // Giving a file away takes root; CI has it.
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
        return;
    }
    let error = file_error(&path);
    assert!(matches!(error, PrivateFileError::ForeignOwner { owner: 12_345, .. }), "{error}");
    assert!(error.to_string().contains("chown 0 "), "{error}");
}

#[test]
fn damage_is_told_without_showing_the_content() {
    let (_dir, path, file) = saved();
    let key = file.credential.key.expose_pem().to_owned();
    let secret = key.lines().nth(1).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let damaged = [
        whole.replace("\"format\": 1", "\"format\": \"{secret}\"").replace("{secret}", secret),
        whole.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN-----"),
        whole.replace("\"role\": \"client\"", "\"role\": \"admin\""),
        whole[..whole.len() / 2].to_owned(),
    ];
    for content in damaged {
        fs::write(&path, content).unwrap();
        let error = ConnectionFile::load(&path).unwrap_err();
        assert!(matches!(error, ConnectionFileError::Content { .. }), "{error}");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    fs::write(&path, whole.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let error = ConnectionFile::load(&path).unwrap_err();
    assert!(matches!(error, ConnectionFileError::Format { format: 2, .. }), "{error}");
}

#[test]
fn keys_are_not_in_debug_output() {
    let authority = ClusterAuthority::create().unwrap();
    let file = file_of(authority.issue(Role::Admin).unwrap());
    let key = file.credential.key.expose_pem().to_owned();
    for text in [format!("{file:?}"), format!("{:#?}", file.credential), format!("{authority:?}")] {
        assert!(!text.contains(key.lines().nth(1).unwrap()), "{text}");
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}

#[test]
fn an_authority_read_back_signs_for_the_same_cluster() {
    let dir = private_dir();
    let path = dir.path().join("authority.json");
    let authority = ClusterAuthority::create().unwrap();
    authority.save(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let again = ClusterAuthority::load(&path).unwrap();
    assert_eq!(again.cluster(), authority.cluster());
    assert_eq!(again.certificate_pem(), authority.certificate_pem());
    let credential = again.issue(Role::Engine).unwrap();
    let identity: PeerIdentity = credential.check().unwrap();
    assert_eq!(identity.role, Role::Engine);
    assert_eq!(&identity.cluster, authority.cluster());
    assert_ne!(identity.serial, authority.issue(Role::Engine).unwrap().check().unwrap().serial);
}

#[test]
fn nothing_is_read_from_the_current_directory_unasked() {
    let error = ConnectionFile::load(Path::new("/nonexistent/client.json")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}
