//! A generation whose tables are damaged is refused under load; the old one stays in force, and no mail notices.

use sekisho_core::control::{Request, Response};
use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, Stand};

#[test]
fn a_broken_generation_is_refused_under_load_and_every_mail_goes_on_by_the_old_one() {
    let sink = SinkProcess::start(&[]);
    let gateway = Gateway::start(&Setup::to(sink.address()));
    let domains = std::fs::read_to_string(gateway.etc().join("domains.toml")).unwrap();
    let mut stand = Stand::new();
    stand.load(&gateway, &Load { seed: 0x401, ..Load::default() });
    for generation in 2..=4 {
        // Another domain each time makes other tables: those that are the same are not read again.
        let other = format!(
            "{domains}\n[[domain]]\nname = \"other{generation}.test\"\nprofile = \"tmems\"\n"
        );
        gateway.write("domains.toml", &other);
        let built = gateway.sekisho(&["tables", "build", "--no-adopt"]);
        assert!(built.status.success(), "{}", words(&built));
        gateway.damage_generation(generation);
        assert!(generation > 2 || stand.is_sending(), "the first one at least is under load");
        match gateway.control(Request::Adopt { generation }) {
            Response::Refused { why } => assert!(why.contains(".table"), "{why}"),
            other => panic!("a broken generation was taken over: {other:?}"),
        }
        assert_eq!(gateway.status()["generation"], 1);
    }
    let balance = stand.settle(&gateway, &[sink.ledger()]);
    balance.holds_exactly("table refused");
    assert_eq!(balance.account.delivered, 360, "{balance}");
    assert_eq!(gateway.status()["generation"], 1);
}
