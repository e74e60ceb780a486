//! `send`: one test mail, with the server's answer.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use sekisho_core::control::{Request, Response};
use sekisho_loadgen::client::{Client, Mail};
use sekisho_loadgen::mix::{to_canonical, with_envelope_id};
use serde_json::json;

use crate::arguments::{Sample, SendArguments};
use crate::call;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown};
use crate::place::Place;

/// How long each answer may take: an engine may wait 60 s for a next hop.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Where the default configuration listens.
const DEFAULT_SERVER: &str = "127.0.0.1:2525";

/// The EICAR test file in two halves, so that this program is no virus to a scanner that reads it.
const EICAR: [&str; 2] =
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD", "-ANTIVIRUS-TEST-FILE!$H+H*"];
/// The Generic Test for Unsolicited Bulk E-mail, in two halves.
const GTUBE: [&str; 2] =
    ["XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE", "-TEST-EMAIL*C.34X"];

/// Runs `send`.
pub(crate) fn run(place: &Place, json: bool, arguments: &SendArguments) -> Ran {
    let server = server(place, arguments.server.as_deref())?;
    let id = uuid::Uuid::now_v7().simple().to_string();
    let content = match &arguments.file {
        Some(path) => {
            let octets = std::fs::read(path)
                .map_err(|error| Failure::new(format_args!("send {}", path.display()), error))?;
            to_canonical(&octets)
        }
        None => with_envelope_id(sample(arguments, &id).as_bytes(), &id),
    };
    let failed = |error: std::io::Error| {
        Failure::new(format_args!("send to {server}"), error)
            .next(format_args!("sekisho{} run, or --server HOST:PORT", place.arguments()))
    };
    let mut client = Client::hello(server, "sekisho-send.localhost", TIMEOUT).map_err(failed)?;
    let to: Vec<&str> = arguments.to.iter().map(String::as_str).collect();
    let mail = Mail { from: &arguments.from, to: &to, content: &content };
    let sent = client.send(&mail).map_err(failed)?;
    client.quit();
    if json {
        let recipients: Vec<_> = to
            .iter()
            .zip(&sent.recipients)
            .map(|(to, reply)| json!({"to": to, "reply": reply.text()}))
            .collect();
        output::json(&json!({
            "accepted": sent.accepted(),
            "reply": sent.reply.text(),
            "recipients": recipients,
            "envelope_id": id,
        }));
    } else {
        // A reverse-path that is refused ends it; what RCPT is told then says nothing.
        let began = sent.recipients.iter().any(|reply| reply.code != 503);
        for (to, reply) in to.iter().zip(&sent.recipients).filter(|_| began) {
            output::data(format_args!("{to}\t{}", shown(&reply.text())));
        }
        let what = if began { "end of data" } else { "MAIL" };
        output::data(format_args!("{what}\t{}", shown(&sent.reply.text())));
    }
    Ok(Outcome::done_if(sent.accepted()))
}

/// As named; else the first listener of the running engine; else the default's.
fn server(place: &Place, named: Option<&str>) -> Result<SocketAddr, Failure> {
    let listener = || {
        let answer =
            call::call(&place.control_socket(), Request::Status, Duration::from_secs(5)).ok()?;
        let Response::Status { status } = answer else { return None };
        let first = status.get("listeners")?.get(0)?;
        let address = first.as_str().or_else(|| first.get("address")?.as_str())?;
        Some(address.to_owned())
    };
    let name = match named {
        Some(name) => name.to_owned(),
        None => listener().unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
    };
    name.to_socket_addrs()
        .map_err(|error| {
            Failure::new(format_args!("send to {name}"), error).next("--server HOST:PORT")
        })?
        .next()
        .ok_or_else(|| Failure::new(format_args!("send to {name}"), "no address"))
}

fn sample(arguments: &SendArguments, id: &str) -> String {
    let date = jiff::Zoned::now();
    let date = jiff::fmt::rfc2822::to_string(&date).unwrap_or_default();
    let subject = arguments.subject.clone().unwrap_or_else(|| {
        match arguments.sample {
            Sample::Clean => "Minutes of Monday's meeting",
            Sample::Eicar => "The file you asked for",
            Sample::Gtube => "A test of the spam filter",
        }
        .to_owned()
    });
    let to = arguments.to.join(", ");
    let head = format!(
        "Date: {date}\r\nFrom: <{}>\r\nTo: {to}\r\nMessage-ID: <{id}@sekisho-send.localhost>\r\n\
         Subject: {subject}\r\nMIME-Version: 1.0\r\n",
        arguments.from
    );
    match arguments.sample {
        Sample::Clean => format!(
            "{head}Content-Type: text/plain; charset=utf-8\r\n\r\n\
             Hello,\r\n\r\nthe minutes of Monday's meeting are on the shelf.\r\n\r\nRegards\r\n"
        ),
        Sample::Gtube => format!(
            "{head}Content-Type: text/plain; charset=us-ascii\r\n\r\n{}\r\n",
            GTUBE.concat()
        ),
        Sample::Eicar => format!(
            "{head}Content-Type: multipart/mixed; boundary=\"=_eicar\"\r\n\r\n\
             --=_eicar\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nSee the file.\r\n\
             --=_eicar\r\nContent-Type: application/octet-stream; name=\"eicar.com\"\r\n\
             Content-Disposition: attachment; filename=\"eicar.com\"\r\n\r\n\
             {}\r\n--=_eicar--\r\n",
            EICAR.concat()
        ),
    }
}
