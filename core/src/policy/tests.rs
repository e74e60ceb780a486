use super::*;

#[test]
fn every_profile_is_readable() {
    for profile in Profile::ALL {
        assert_eq!(preset(profile).profile, profile);
    }
}
