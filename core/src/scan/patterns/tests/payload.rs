//! What is opened, and what is refused.

use super::*;

#[test]
fn a_payload_of_another_platform_asks_for_a_rebuild_and_damage_is_refused() {
    let mut report = BuildReport::default();
    let payload =
        build(&[source("a.cf", "body A /\\d[a-f]\\W\\d/\nbody B /hello world/")], &mut report);
    let payload = payload.unwrap().0;
    assert!(Patterns::open(&payload).is_ok());
    let text = String::from_utf8_lossy(&payload);
    let at = text.find("libhs ").unwrap();
    let mut other = payload.clone();
    other[at + 6] = b'9';
    assert!(matches!(Patterns::open(&other), Err(OpenError::Rebuild { .. })));
    for cut in [0, 7, 15, 40, payload.len() / 2, payload.len() - 1] {
        assert!(Patterns::open(&payload[..cut]).is_err(), "{cut}");
    }
    // A rule index beyond the list, in the plan of a sieve.
    let plan_end = 16 + u64::from_le_bytes(payload[8..16].try_into().unwrap()) as usize;
    let plan = String::from_utf8(payload[16..plan_end].to_vec()).unwrap();
    let broken = plan.replace("\"sieved\":[{\"rule\":0,", "\"sieved\":[{\"rule\":90,");
    assert_ne!(plan, broken);
    let mut rewritten = payload[..8].to_vec();
    rewritten.extend_from_slice(&(broken.len() as u64).to_le_bytes());
    rewritten.extend_from_slice(broken.as_bytes());
    rewritten.extend_from_slice(&payload[plan_end..]);
    assert!(matches!(Patterns::open(&rewritten), Err(OpenError::Damaged(_))));
}
