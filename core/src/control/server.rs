//! The listening side of the control socket: one thread, one short-lived thread per caller.
//!
//! Calls are rare and small; blocking threads keep them away from the shards. A call whose id was
//! answered before gets the same answer, so that a caller who lost the connection may repeat it.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Answer, Call, Request, Response};

/// Longest call in octets: a release of some ten thousand items.
const CALL_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Callers at one time.
const CALLERS_MAX: usize = 32;
/// Answers that are remembered for repeated calls.
const ANSWERS_KEPT: usize = 1024;
/// A caller who says nothing for so long is cut off.
const CALLER_TIMEOUT: Duration = Duration::from_secs(60);

/// What answers the calls. Shared by the caller threads.
pub type Dispatch = Arc<dyn Fn(Request) -> Response + Send + Sync>;

/// Answers given before, oldest first; handed from caller to caller through a channel of one place,
/// which serves as the lock that the engine otherwise has none of.
type Remembered = VecDeque<Answer>;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another engine answers on it.
    #[error("{path}: another engine is running on this data directory")]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Opens `path` and serves calls on a thread of its own until the process ends.
///
/// # Errors
/// [`ControlError::Taken`] if a living engine holds the socket; a dead one's is taken over.
pub fn serve(path: &Path, dispatch: Dispatch) -> Result<(), ControlError> {
    let failed = |source| ControlError::Io { path: path.to_owned(), source };
    if UnixStream::connect(path).is_ok() {
        return Err(ControlError::Taken { path: path.to_owned() });
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || accept_all(&listener, &dispatch))
        .map_err(failed)?;
    Ok(())
}

fn accept_all(listener: &UnixListener, dispatch: &Dispatch) {
    let callers = Arc::new(AtomicUsize::new(0));
    let (remember, remembered) = flume::bounded::<Remembered>(1);
    let _ = remember.send(VecDeque::new());
    for caller in listener.incoming() {
        let Ok(caller) = caller else { continue };
        if callers.fetch_add(1, Ordering::Relaxed) >= CALLERS_MAX {
            callers.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (dispatch, callers) = (Arc::clone(dispatch), Arc::clone(&callers));
        let (remember, remembered) = (remember.clone(), remembered.clone());
        let spawned = std::thread::Builder::new().name("control-call".into()).spawn(move || {
            if let Err(error) = converse(&caller, &dispatch, &remember, &remembered) {
                tracing::debug!(%error, "control call ended");
            }
            callers.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a control call");
        }
    }
}

fn converse(
    caller: &UnixStream,
    dispatch: &Dispatch,
    remember: &flume::Sender<Remembered>,
    remembered: &flume::Receiver<Remembered>,
) -> io::Result<()> {
    caller.set_read_timeout(Some(CALLER_TIMEOUT))?;
    caller.set_write_timeout(Some(CALLER_TIMEOUT))?;
    let mut lines = BufReader::new(caller);
    loop {
        let mut line = String::new();
        if lines.by_ref().take(CALL_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_str::<Call>(&line) {
            Ok(call) => answer(call, dispatch, remember, remembered),
            Err(error) => Answer {
                id: String::new(),
                response: Response::Refused { why: format!("not a call: {error}") },
            },
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        (&mut &*caller).write_all(&text)?;
    }
}

fn answer(
    call: Call,
    dispatch: &Dispatch,
    remember: &flume::Sender<Remembered>,
    remembered: &flume::Receiver<Remembered>,
) -> Answer {
    let known = |answers: &Remembered| answers.iter().find(|old| old.id == call.id).cloned();
    if !call.id.is_empty()
        && let Some(answer) = with(remember, remembered, |answers| known(answers))
    {
        return answer;
    }
    let asks_only = matches!(
        call.request,
        Request::Ping | Request::Status | Request::QueueList { .. } | Request::QueueWhy { .. }
    );
    let answer = Answer { id: call.id, response: dispatch(call.request) };
    if !asks_only && !answer.id.is_empty() && answer.response.is_final() {
        with(remember, remembered, |answers| {
            if answers.len() >= ANSWERS_KEPT {
                answers.pop_front();
            }
            answers.push_back(answer.clone());
            None
        });
    }
    answer
}

fn with(
    remember: &flume::Sender<Remembered>,
    remembered: &flume::Receiver<Remembered>,
    act: impl FnOnce(&mut Remembered) -> Option<Answer>,
) -> Option<Answer> {
    let mut answers = remembered.recv().ok()?;
    let found = act(&mut answers);
    let _ = remember.send(answers);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn call(path: &Path, lines: &str) -> Vec<Answer> {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(lines.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let reader = BufReader::new(stream);
        reader.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_repeated_id_gets_the_first_answer_and_acts_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/control.sock");
        let acted = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&acted);
        serve(
            &path,
            Arc::new(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Response::Done
            }),
        )
        .unwrap();
        let line = "{\"id\":\"a\",\"request\":{\"verb\":\"adopt\",\"generation\":4}}\n";
        let answers = call(&path, &line.repeat(3));
        assert_eq!(answers.len(), 3);
        assert!(answers.iter().all(|answer| answer.response == Response::Done));
        assert_eq!(acted.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason_and_the_line_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        serve(&path, Arc::new(|_| Response::Done)).unwrap();
        let answers = call(
            &path,
            "garbage\n{\"id\":\"1\",\"request\":{\"verb\":\"explode\"}}\n\
             {\"id\":\"2\",\"request\":{\"verb\":\"ping\"}}\n",
        );
        assert!(matches!(&answers[0].response, Response::Refused { why } if why.contains("call")));
        assert!(
            matches!(&answers[1].response, Response::Refused { why } if why.contains("explode"))
        );
        assert_eq!(answers[2].response, Response::Done);
    }

    #[test]
    fn a_second_engine_on_the_same_socket_is_refused_and_a_dead_ones_socket_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        serve(&path, Arc::new(|_| Response::Done)).unwrap();
        let again = serve(&path, Arc::new(|_| Response::Done));
        assert!(matches!(again, Err(ControlError::Taken { .. })));
    }
}
