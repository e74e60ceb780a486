//! SPF: RFC 7208, `check_host` as it is written there. Does no I/O of its own: it asks [`Names`].
//!
//! A library of ours and not mail-auth's, because that one takes the first of several records, knows no limit of void
//! look-ups, and lets IPv6 addresses answer `exists` (decision 0097).
//!
//! Bounds (section 4.6.4): `LOOKUPS_MAX` terms that ask the DNS, `VOIDS_MAX` of them without an answer, `HOSTS_MAX` hosts of an
//! MX or a reverse name. Whoever calls sets the deadline.

mod expand;
mod record;

use std::net::IpAddr;

use expand::{MacroString, Values};
use record::{Directive, Malformed, Mechanism, Prefixes, Record};

use super::names::{Answer, Names};
use super::{AuthResult, SpfCheck};

/// Terms that cause look-ups.
const LOOKUPS_MAX: u32 = 10;
/// Look-ups that find nothing.
const VOIDS_MAX: u32 = 2;
/// Hosts of one MX, names of one address.
const HOSTS_MAX: usize = 10;
/// Octets of an explanation: it is a stranger's text.
const EXPLANATION_BYTES_MAX: usize = 200;

/// Whom a check is about.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'i> {
    /// Address of the client.
    pub ip: IpAddr,
    /// What it called itself.
    pub helo: &'i str,
    /// MAIL FROM without brackets, or `postmaster@` HELO.
    pub sender: &'i str,
    /// The domain that is checked, in A-labels.
    pub domain: &'i str,
    /// Our name.
    pub receiver: &'i str,
    /// Seconds since 1970.
    pub now: u64,
}

/// Checks one identity.
pub async fn check<N: Names>(names: &N, identity: Identity<'_>) -> SpfCheck {
    let ip = identity.ip.to_canonical();
    let mut check = Check { names, identity: Identity { ip, ..identity }, lookups: 0, voids: 0 };
    let outcome = Box::pin(check.host(identity.domain)).await;
    let explanation = match (&outcome.exp, outcome.result) {
        (Some((target, domain)), AuthResult::Fail) => check.explanation(target, domain).await,
        _ => None,
    };
    SpfCheck {
        result: outcome.result,
        domain: identity.domain.into(),
        matched: outcome.matched,
        explanation,
    }
}

/// What a domain says, and why.
struct Outcome {
    result: AuthResult,
    matched: Box<str>,
    /// `exp=` of the record that decided, and the domain of that record.
    exp: Option<(MacroString, String)>,
}

impl From<AuthResult> for Outcome {
    fn from(result: AuthResult) -> Self {
        Self { result, matched: "".into(), exp: None }
    }
}

struct Check<'c, N> {
    names: &'c N,
    identity: Identity<'c>,
    lookups: u32,
    voids: u32,
}

impl<N: Names> Check<'_, N> {
    /// `check_host()`, section 4.
    async fn host(&mut self, domain: &str) -> Outcome {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        if !is_domain(domain) {
            return AuthResult::None.into();
        }
        let texts = match self.names.texts(domain).await {
            Answer::Found(texts) => texts,
            Answer::Nothing => return AuthResult::None.into(),
            Answer::Failed => return AuthResult::TempError.into(),
        };
        let mut records = texts.iter().filter(|text| record::is_spf(text));
        let (first, second) = (records.next(), records.next());
        let Some(first) = first else { return AuthResult::None.into() };
        if second.is_some() {
            return AuthResult::PermError.into();
        }
        match Record::parse(first) {
            Ok(record) => self.evaluate(record, domain).await.unwrap_or_else(Outcome::from),
            Err(Malformed) => AuthResult::PermError.into(),
        }
    }

    /// The terms in their order. `Err`: temperror or permerror.
    async fn evaluate(&mut self, record: Record, domain: &str) -> Result<Outcome, AuthResult> {
        for directive in &record.directives {
            if self.matches(directive, domain).await? {
                return Ok(Outcome {
                    result: directive.qualifier,
                    matched: directive.text.clone(),
                    exp: record.exp.map(|exp| (exp, domain.to_owned())),
                });
            }
        }
        let Some(redirect) = &record.redirect else { return Ok(AuthResult::Neutral.into()) };
        self.count_lookup()?;
        let target = self.target(redirect, domain).await?;
        // Boxed where it turns upon itself.
        let outcome = Box::pin(self.host(&target)).await;
        match outcome.result {
            AuthResult::None => Err(AuthResult::PermError),
            _ => Ok(outcome),
        }
    }

    async fn matches(&mut self, directive: &Directive, domain: &str) -> Result<bool, AuthResult> {
        let ip = self.identity.ip;
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, bits) => Ok(in_prefix(ip, IpAddr::V4(*network), *bits)),
            Mechanism::Ip6(network, bits) => Ok(in_prefix(ip, IpAddr::V6(*network), *bits)),
            Mechanism::Include(target) => {
                self.count_lookup()?;
                let target = self.target(target, domain).await?;
                match Box::pin(self.host(&target)).await.result {
                    AuthResult::Pass => Ok(true),
                    AuthResult::TempError => Err(AuthResult::TempError),
                    AuthResult::PermError | AuthResult::None => Err(AuthResult::PermError),
                    _ => Ok(false),
                }
            }
            Mechanism::A(target, prefixes) => {
                self.count_lookup()?;
                let target = self.target_or(target.as_ref(), domain).await?;
                self.has_address(&target, *prefixes, true).await
            }
            Mechanism::Mx(target, prefixes) => {
                self.count_lookup()?;
                let target = self.target_or(target.as_ref(), domain).await?;
                let answer = self.names.mail_hosts(&target).await;
                let hosts = self.found(answer, true)?;
                if hosts.len() > HOSTS_MAX {
                    return Err(AuthResult::PermError);
                }
                for host in hosts {
                    if self.has_address(&host, *prefixes, false).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(target) => {
                self.count_lookup()?;
                let target = self.target_or(target.as_ref(), domain).await?;
                Ok(self.validated(&target).await.iter().any(|name| is_below(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.count_lookup()?;
                let target = self.target(target, domain).await?;
                // Section 5.7: A, whatever the family of the client.
                let answer = self.names.addresses(&target, true).await;
                Ok(!self.found(answer, true)?.is_empty())
            }
        }
    }

    /// Whether the client's address is one of `host`'s, up to the prefix.
    async fn has_address(
        &mut self,
        host: &str,
        prefixes: Prefixes,
        counted: bool,
    ) -> Result<bool, AuthResult> {
        let ip = self.identity.ip;
        let bits = if ip.is_ipv4() { prefixes.v4 } else { prefixes.v6 };
        let answer = self.names.addresses(host, ip.is_ipv4()).await;
        let addresses = self.found(answer, counted)?;
        Ok(addresses.into_iter().any(|address| in_prefix(ip, address, bits)))
    }

    /// What was found; a look-up that found nothing is counted where the term itself asked for it.
    fn found<T>(&mut self, answer: Answer<T>, counted: bool) -> Result<Vec<T>, AuthResult> {
        match answer {
            Answer::Found(found) => Ok(found),
            Answer::Failed => Err(AuthResult::TempError),
            Answer::Nothing => {
                self.voids += u32::from(counted);
                if self.voids > VOIDS_MAX { Err(AuthResult::PermError) } else { Ok(Vec::new()) }
            }
        }
    }

    fn count_lookup(&mut self) -> Result<(), AuthResult> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX { Err(AuthResult::PermError) } else { Ok(()) }
    }

    async fn target_or(
        &mut self,
        target: Option<&MacroString>,
        domain: &str,
    ) -> Result<String, AuthResult> {
        match target {
            Some(target) => self.target(target, domain).await,
            None => Ok(domain.to_owned()),
        }
    }

    async fn target(&mut self, target: &MacroString, domain: &str) -> Result<String, AuthResult> {
        let validated = self.validated_for(target, domain).await;
        Ok(target.expand_domain(&self.values(domain, validated.as_deref())))
    }

    fn values<'v>(&'v self, domain: &'v str, validated: Option<&'v str>) -> Values<'v> {
        let Identity { ip, helo, sender, receiver, now, .. } = self.identity;
        Values { sender, domain, ip, validated, helo, receiver, now }
    }

    /// `%{p}`, section 7.3: the domain itself, else a name below it, else any.
    async fn validated_for(&mut self, text: &MacroString, domain: &str) -> Option<String> {
        if !text.needs_validated() {
            return None;
        }
        let names = self.validated(domain).await;
        let own = names.iter().position(|name| name.eq_ignore_ascii_case(domain));
        let at = own.or_else(|| names.iter().position(|name| is_below(name, domain)));
        names.into_iter().nth(at.unwrap_or(0))
    }

    /// Names of the client's address that lead back to it, section 5.5. Errors are no names.
    async fn validated(&mut self, domain: &str) -> Vec<String> {
        let Answer::Found(names) = self.names.names_of(self.identity.ip).await else {
            return Vec::new();
        };
        let mut validated = Vec::new();
        let whole = Prefixes { v4: 32, v6: 128 };
        for name in names.into_iter().take(HOSTS_MAX) {
            if self.has_address(&name, whole, false).await == Ok(true) {
                let own = is_below(&name, domain);
                validated.push(name);
                if own {
                    break;
                }
            }
        }
        validated
    }

    /// The domain's words for its "fail", section 6.2. Anything wrong with them, and there are none.
    async fn explanation(&mut self, target: &MacroString, domain: &str) -> Option<Box<str>> {
        let name = self.target(target, domain).await.ok()?;
        let Answer::Found(texts) = self.names.texts(&name).await else { return None };
        let [text] = texts.as_slice() else { return None };
        let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
        let text = MacroString::parse(text, true).ok()?;
        let validated = self.validated_for(&text, domain).await;
        let mut words = text.expand(&self.values(domain, validated.as_deref()));
        words.truncate(EXPLANATION_BYTES_MAX);
        words.bytes().all(|octet| (b' '..=b'~').contains(&octet)).then(|| words.into())
    }
}

/// Section 4.3: labels of 1 to 63 octets, at least two of them, and no address literal.
fn is_domain(domain: &str) -> bool {
    let labels = || domain.split('.');
    domain.len() <= 253
        && labels().count() >= 2
        && labels().all(|label| (1..=63).contains(&label.len()))
        && domain
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && !b"[]\"()<>,;:\\@".contains(&octet))
}

/// Whether `name` is `domain` or below it.
fn is_below(name: &str, domain: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let same = name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(domain));
    same && (at == 0 || name.as_bytes().get(at - 1) == Some(&b'.'))
}

/// Whether both have the first `bits` in common. Never across families.
fn in_prefix(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differing = ip.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differing = ip.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= u32::from(bits)
        }
        _ => false,
    }
}

/// Any octets are a record or none, and its macros end. Number of directives, and 1 for the record.
pub fn fuzz_spf(data: &[u8]) -> usize {
    let Ok(record) = Record::parse(data) else { return 0 };
    let values = Values {
        sender: "local-part@sender.example",
        domain: "domain.example",
        ip: IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
        validated: None,
        helo: "helo.example",
        receiver: "gateway.example",
        now: 0,
    };
    let targets = record.directives.iter().filter_map(|directive| match &directive.mechanism {
        Mechanism::Include(target) | Mechanism::Exists(target) => Some(target),
        Mechanism::A(target, _) | Mechanism::Mx(target, _) | Mechanism::Ptr(target) => {
            target.as_ref()
        }
        Mechanism::All | Mechanism::Ip4(..) | Mechanism::Ip6(..) => None,
    });
    for target in targets.chain(&record.redirect).chain(&record.exp) {
        assert!(target.expand_domain(&values).len() <= data.len().saturating_mul(64).max(253));
    }
    1 + record.directives.len()
}
