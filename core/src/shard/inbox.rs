//! Calls from the control thread to a shard, and the answers.

use std::rc::Rc;

use super::listener;
use crate::control::{Request, Response};
use crate::pipeline::Pipeline;

/// One call.
#[derive(Debug)]
pub(super) enum ShardCall {
    /// A request of the control socket; each shard answers for its own mails.
    Control(Request, flume::Sender<Response>),
    /// The configuration changed.
    Reload,
    /// Drain and end.
    Drain,
}

/// Answers calls until the shard is to drain.
pub(super) async fn serve(pipeline: &Rc<Pipeline>, inbox: &flume::Receiver<ShardCall>) {
    let rooms = pipeline.rooms();
    loop {
        match inbox.recv_async().await {
            Ok(ShardCall::Control(request, answer)) => {
                let pipeline = Rc::clone(pipeline);
                // A release reads and writes files: it must not hold up the next call.
                rooms.spawn_background(async move {
                    let response = pipeline.control(request).await;
                    // The caller may have gone; then nobody wants the answer.
                    let _ = answer.send(response);
                });
            }
            Ok(ShardCall::Reload) => {
                let config = rooms.shared.config.load_full();
                rooms.listening.replace(listener::all(&rooms.shared, &config));
            }
            Ok(ShardCall::Drain) | Err(flume::RecvError::Disconnected) => return,
        }
    }
}
