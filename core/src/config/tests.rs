use super::*;

#[test]
fn the_default_text_parses_to_the_default_configuration() {
    let (config, warnings) = Config::parse(DEFAULT_TEXT, "sekisho.toml").expect("no mistakes");
    assert_eq!(config, Config::default());
    assert!(warnings.is_empty());
}
