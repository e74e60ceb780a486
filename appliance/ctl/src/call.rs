//! The calling side of the control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use sekisho_core::control::{Answer, Call, Request, Response};

use crate::outcome::Failure;
use crate::place::Place;

/// Longest answer that is read: a queue list of some hundred thousand rows.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How long a call may take by default.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nobody listens: no engine runs on this data directory.
    Nobody,
    /// Somebody listens and did not answer as agreed.
    Broken(String),
}

/// One request and its answer.
///
/// # Errors
/// [`CallError`]: nobody there, no answer within `timeout`, or an answer that is none.
pub(crate) fn call(
    socket: &Path,
    request: Request,
    timeout: Duration,
) -> Result<Response, CallError> {
    let broken = |error: std::io::Error| CallError::Broken(error.to_string());
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => CallError::Nobody,
        _ => CallError::Broken(error.to_string()),
    })?;
    stream.set_read_timeout(Some(timeout)).map_err(broken)?;
    stream.set_write_timeout(Some(timeout)).map_err(broken)?;
    let call = Call { id: uuid::Uuid::now_v7().simple().to_string(), request };
    let mut line =
        serde_json::to_vec(&call).map_err(|error| CallError::Broken(error.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = String::new();
    let read = BufReader::new(&stream).take(ANSWER_BYTES_MAX).read_line(&mut answer);
    match read {
        Ok(0) => return Err(CallError::Broken("closed without an answer".to_owned())),
        Ok(_) => {}
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
            return Err(CallError::Broken(format!("no answer in {} s", timeout.as_secs())));
        }
        Err(error) => return Err(broken(error)),
    }
    let answer: Answer = serde_json::from_str(&answer)
        .map_err(|error| CallError::Broken(format!("not an answer: {error}")))?;
    if answer.id != call.id && !answer.id.is_empty() {
        return Err(CallError::Broken(format!("answer to {}, not to {}", answer.id, call.id)));
    }
    Ok(answer.response)
}

/// The same for a command: the failure names the socket and the next step.
pub(crate) fn ask(place: &Place, what: &str, request: Request) -> Result<Response, Failure> {
    let socket = place.control_socket();
    call(&socket, request, TIMEOUT).map_err(|error| match error {
        CallError::Nobody => {
            Failure::new(what, format_args!("no engine answers on {}", socket.display()))
                .next(format_args!("sekisho{} run", place.arguments()))
        }
        CallError::Broken(why) => Failure::new(what, format_args!("{}: {why}", socket.display())),
    })
}

/// An answer that does not fit the request.
pub(crate) fn unexpected(what: &str, response: &Response) -> Failure {
    match response {
        Response::Refused { why } => Failure::new(what, format_args!("the engine refused: {why}")),
        other => Failure::new(what, format_args!("unexpected answer {other:?}"))
            .next("is the engine of another release?"),
    }
}

#[cfg(test)]
mod tests {
    use super::{CallError, call};
    use sekisho_core::control::{Request, Response, server};
    use std::sync::Arc;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(5);

    #[test]
    fn a_call_reaches_the_listening_side_and_brings_its_answer_back() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        assert!(matches!(call(&socket, Request::Ping, SECOND), Err(CallError::Nobody)));
        server::serve(
            &socket,
            Arc::new(|request| match request {
                Request::Ping => Response::Done,
                other => Response::Refused { why: format!("{other:?}") },
            }),
        )
        .unwrap();
        assert_eq!(call(&socket, Request::Ping, SECOND).unwrap(), Response::Done);
        let refused = call(&socket, Request::Adopt { generation: 7 }, SECOND).unwrap();
        assert_eq!(refused, Response::Refused { why: "Adopt { generation: 7 }".to_owned() });
    }

    #[test]
    fn an_engine_that_does_not_answer_or_answers_nonsense_is_told_from_one_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        for (name, answer) in [("nonsense", "what?\n"), ("closed", "")] {
            let socket = dir.path().join(name);
            let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            let far = std::thread::spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut line)
                    .unwrap();
                std::io::Write::write_all(&mut &stream, answer.as_bytes()).unwrap();
            });
            let error = call(&socket, Request::Ping, SECOND).unwrap_err();
            assert!(matches!(error, CallError::Broken(_)), "{name}: {error:?}");
            far.join().unwrap();
        }
        let socket = dir.path().join("silent");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = call(&socket, Request::Ping, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(&error, CallError::Broken(why) if why.contains("no answer")), "{error:?}");
    }
}
