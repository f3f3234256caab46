//! The control socket, asked over a real one.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream as Socket;

use super::*;

/// Asks from a thread of its own; what came back.
async fn ask_with(text: Vec<u8>, dir: PathBuf) -> String {
    let ask = move || {
        let mut socket = Socket::connect(dir.join(SOCKET_FILE)).unwrap();
        socket.write_all(&text).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        BufReader::new(&mut socket).read_line(&mut answer).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "the connection is over");
        answer
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

async fn ask(text: &str, main_loop: impl Fn(Asked) -> bool + Send + Sync + 'static) -> String {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::start(dir.path(), main_loop).unwrap();
    let mode = dir.path().join(SOCKET_FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for this user alone");
    let answer = ask_with(format!("{text}\n").into_bytes(), dir.path().to_owned()).await;
    drop(control);
    assert!(!dir.path().join(SOCKET_FILE).exists(), "it goes with the host");
    answer
}

fn answering(answer: ControlAnswer) -> impl Fn(Asked) -> bool + Send + Sync + 'static {
    move |(_, answered)| answered.send(answer.clone()).is_ok()
}

#[tokio::test]
async fn a_wish_is_answered_by_the_main_loop() {
    let main_loop = |(wish, answered): Asked| {
        let expected = ControlWish::Signal { engines: vec!["h/1".into()], signal: 2 };
        assert_eq!(wish, expected);
        answered.send(ControlAnswer::Engines(vec!["h/1".into()])).is_ok()
    };
    let answer = ask(r#"{"signal": {"engines": ["h/1"], "signal": 2}}"#, main_loop).await;
    assert_eq!(answer, "{\"engines\":[\"h/1\"]}\n");
}

#[tokio::test]
async fn what_is_no_wish_is_told_so() {
    for text in ["", "{", r#"{"add": {}}"#, r#"{"add": {"count": -1}}"#, r#"{"burn": {}}"#] {
        let main_loop = |_: Asked| panic!("nothing was asked");
        let answer = ask(text, main_loop).await;
        assert!(answer.starts_with("{\"error\":\"the host does not understand"), "{answer}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let answer = answering(ControlAnswer::Engines(Vec::new()));
    let control = Control::start(dir.path(), answer).unwrap();
    let line = vec![b' '; limits::CONTROL_LINE_LEN_MAX];
    let answer = ask_with(line, dir.path().to_owned()).await;
    assert!(answer.starts_with("{\"error\""), "{answer}");
    drop(control);
}

#[tokio::test]
async fn a_host_that_is_busy_or_ends_says_so() {
    let add = r#"{"add": {"count": 1}}"#;
    assert!(ask(add, |_| false).await.contains("too much to do"));
    assert!(ask(add, |_| true).await.contains("is ending"));
}
