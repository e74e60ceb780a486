//! Fuzz entry: a hop that says anything.

use super::{Client, ClientSettings, EightBitRule, Failure, Fate, Step, fate};
use crate::deliver::TlsRule;

/// Drives a client with arbitrary octets as the hop's replies, in arbitrary pieces: it must neither
/// panic nor give a recipient the fate "taken" without a 2yz after the content.
pub fn fuzz_hop_reply(data: &[u8]) {
    let (&choice, rest) = data.split_first().unwrap_or((&0, &[]));
    let mut client = Client::new(ClientSettings {
        helo: "mx.example.com".into(),
        tls: if choice & 1 == 0 { TlsRule::Never } else { TlsRule::Opportunistic },
        eight_bit: EightBitRule::AsIs,
        chunking: choice & 2 == 0,
    });
    let mut pieces = rest.chunks(usize::from(choice >> 2) + 1);
    let mut committed = false;
    loop {
        match client.advance() {
            Step::Read(_) => match pieces.next() {
                Some(piece) => client.fill(piece),
                None => client.close(Failure::Closed),
            },
            Step::StartTls => client.tls_done(),
            Step::Ready => client.begin(fate::fuzz_transaction()),
            Step::Content(_) => {
                client.commit();
                committed = true;
            }
            Step::Done | Step::Closed(_) => {
                let fates = client.take_fates();
                let taken = fates.iter().any(|fate| matches!(fate, Fate::Taken(_)));
                assert!(!taken || committed, "taken without content");
                committed = false;
                if !client.reusable() || client.transactions() > 20 {
                    return;
                }
            }
        }
        client.output().clear();
    }
}
