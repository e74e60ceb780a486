//! The worker's side: map the tables, close the sandbox, answer requests.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use super::account::Account;
use super::sandbox::{self, Threads};
use super::wire::{Answer, Request, gather, receive_request, send_answer};
use crate::message::{View, ViewLimits};
use crate::scan::content::{Cache, Expression};
use crate::scan::patterns::{Patterns, Scratch};
use crate::scan::yara::Yara;
use crate::scan::{ArchiveLimits, Examination, ScanTables, Unwanted, cuts, examine, expand};
use crate::stages::{self, Spending, Spent, Stage};
use crate::tables::{Digest, Generation};

/// What a worker is started with, after [`super::WORKER_ARGUMENT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerArguments {
    /// Address space above the tables, in octets.
    pub memory_bytes_max: u64,
    /// Whether words of a mail are tried as passwords of what is protected in it.
    pub passwords_from_text: bool,
    /// Who the worker becomes before it reads anything; `None`: nobody else.
    pub user: Option<Account>,
    /// The generation's directory and the engine's own; none before the first generation.
    pub tables: Option<(PathBuf, PathBuf)>,
}

impl WorkerArguments {
    /// Reads the arguments that [`Self::to_arguments`] wrote.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn read(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Self, String> {
        let memory = arguments.next().and_then(|text| text.into_string().ok());
        let memory = memory.and_then(|text| text.parse().ok());
        let memory_bytes_max = memory.ok_or("memory limit missing")?;
        let passwords_from_text =
            match arguments.next().and_then(|text| text.into_string().ok()).as_deref() {
                Some("passwords") => true,
                Some("no-passwords") => false,
                _ => return Err("whether passwords are tried is missing".to_owned()),
            };
        let user = match arguments.next().and_then(|text| text.into_string().ok()).as_deref() {
            Some("-") => None,
            Some(text) => {
                let ids = text.split_once(':');
                let ids = ids.and_then(|(user, group)| user.parse().ok().zip(group.parse().ok()));
                let (user, group) = ids.ok_or("user and group are not two numbers")?;
                Some(Account { user, group })
            }
            None => return Err("user missing".to_owned()),
        };
        let tables = match (arguments.next(), arguments.next()) {
            (Some(generation), Some(engine)) => Some((generation.into(), engine.into())),
            (None, None) => None,
            _ => return Err("generation without the engine's directory".to_owned()),
        };
        Ok(Self { memory_bytes_max, passwords_from_text, user, tables })
    }

    /// As command line arguments.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<std::ffi::OsString> {
        let user = match self.user {
            Some(Account { user, group }) => format!("{user}:{group}"),
            None => "-".to_owned(),
        };
        let passwords = if self.passwords_from_text { "passwords" } else { "no-passwords" };
        let mut out = vec![self.memory_bytes_max.to_string().into(), passwords.into(), user.into()];
        if let Some((generation, engine)) = &self.tables {
            out.extend([generation.clone().into(), engine.clone().into()]);
        }
        out
    }
}

/// Runs a worker on the socket that is its standard input, until the engine closes it. Called by
/// the engine program for [`super::WORKER_ARGUMENT`], before it does anything else, on its only
/// thread.
///
/// # Errors
/// What kept it from starting or answering, in words; the program ends with status 1.
pub fn worker_main(arguments: &WorkerArguments) -> Result<(), String> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    let socket = UnixStream::from(socket);
    match start(arguments) {
        Ok(worker) => worker.serve(&socket),
        Err(reason) => {
            let failed = Answer::Failed(reason.clone().into());
            send_answer(&socket, &failed).map_err(|e| e.to_string())?;
            Err(reason)
        }
    }
}

struct Worker {
    generation: Arc<Generation>,
    patterns: Option<Arc<Patterns>>,
    yara: Option<Yara>,
    scratch: Scratch,
    message_bytes_max: usize,
    archive_limits: ArchiveLimits,
    spending: Spending,
    /// Compiled content conditions of domains.
    content: RefCell<Cache>,
}

fn start(arguments: &WorkerArguments) -> Result<Worker, String> {
    let generation = match &arguments.tables {
        Some((generation, engine)) => {
            Generation::adopt_for_scan(generation, engine).map_err(|error| error.to_string())?
        }
        None => Generation::empty(),
    };
    let patterns = generation.patterns().cloned();
    let scratch = match &patterns {
        Some(patterns) => patterns.scratch().map_err(|error| error.to_string())?,
        None => Scratch::default(),
    };
    // Everything that is built on first use and needs more than memory is used once now.
    crate::scan::fuzz_archive(b"");
    crate::scan::fuzz_active(b"<a>");
    crate::message::fuzz_view(b"Subject: x\r\n\r\n<a href=http://example.com/>x</a>");
    // The first reading of the clock asks the kernel where its page of clocks is; inside, that is a death.
    let spending = Spending::begin();
    sandbox::give_up_rights(arguments.user).map_err(|error| error.to_string())?;
    // The thread that counts its seconds has the rights that are left, and is locked in with this one.
    let yara = generation.yara().map(open_yara).transpose()?;
    let threads = if yara.is_some() { Threads::All } else { Threads::Calling };
    sandbox::close(arguments.memory_bytes_max, threads).map_err(|error| error.to_string())?;
    // A message, its decoded parts and three texts fit in the memory that is allowed.
    let quarter = usize::try_from(arguments.memory_bytes_max / 4).unwrap_or(usize::MAX);
    let mut archive_limits = ArchiveLimits::default();
    archive_limits.bytes_max = archive_limits.bytes_max.min(arguments.memory_bytes_max / 3);
    archive_limits.passwords_from_text = arguments.passwords_from_text;
    let message_bytes_max = quarter;
    let content = RefCell::default();
    Ok(Worker {
        generation,
        patterns,
        yara,
        scratch,
        message_bytes_max,
        archive_limits,
        spending,
        content,
    })
}

fn open_yara(payload: &[u8]) -> Result<Yara, String> {
    let begun = super::now();
    Yara::open(payload, Box::new(move || begun.elapsed()))
}

impl Worker {
    fn serve(mut self, socket: &UnixStream) -> Result<(), String> {
        send_answer(socket, &Answer::Ready).map_err(|error| error.to_string())?;
        while let Some((request, descriptors)) =
            receive_request(socket).map_err(|error| error.to_string())?
        {
            #[cfg(test)]
            super::tests::misbehave(request.misbehave.as_deref(), socket);
            let mut answer = match gather(descriptors, &request.ranges, self.message_bytes_max + 1)
            {
                Ok(raw) => stages::measured_now(Stage::ScanRest, || self.look(&raw, &request)),
                Err(error) => Answer::Failed(error.to_string().into()),
            };
            if let Answer::Examined(_, spent) = &mut answer {
                *spent = self.spending.take();
            }
            send_answer(socket, &answer).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn look(&mut self, raw: &[u8], request: &Request) -> Answer {
        let limits =
            ViewLimits { message_bytes_max: self.message_bytes_max, ..ViewLimits::worker() };
        let mut view = {
            let _stage = stages::enter(Stage::View);
            View::build(raw, &limits)
        };
        {
            let _stage = stages::enter(Stage::Containers);
            expand(&mut view, &self.archive_limits);
        }
        let mut content = Vec::with_capacity(request.content.len());
        for expressions in &request.content {
            let all: Vec<&Expression> = expressions.iter().collect();
            let set = Cache::set(&self.content, &all, &async || ());
            content.push(futures_lite::future::block_on(set));
        }
        let generation = &self.generation;
        let hash = |digest: &Digest, size: u64| generation.hash(digest, size).map(Into::into);
        let tables = ScanTables {
            patterns: self.patterns.as_deref(),
            hash: generation.has_hashes().then_some(&hash),
            url_host: Some(&|host| generation.url_host(host)),
            reading: request.reading,
            content: &content,
            yara: self.yara.as_ref(),
        };
        self.yara.iter().for_each(Yara::begin);
        let from = request.envelope_from.as_deref();
        let scan = examine(&view, &tables, &mut self.scratch, from, &async || ());
        let mut examination = match futures_lite::future::block_on(scan) {
            Ok(examination) => examination,
            Err(error) => return Answer::Failed(error.to_string().into()),
        };
        drop(view);
        let tables = ScanTables { content: &[], ..tables };
        for unwanted in request.cleaning.wanted(&examination) {
            let limits = (&limits, &self.archive_limits);
            let found = cuts(raw, unwanted, limits, &tables, &mut self.scratch);
            match (futures_lite::future::block_on(found), unwanted) {
                (Ok(found), Unwanted::Malware) => examination.cuts = found,
                (Ok(found), Unwanted::Active) => examination.active_cuts = found,
                (Err(error), _) => return Answer::Failed(error.to_string().into()),
            }
        }
        Answer::Examined(Box::<Examination>::new(examination), Spent::default())
    }
}
