//! Properties: any content is found again, any octets are read or refused.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flat_table_finds_exactly_what_was_put_into_it(keys in proptest::collection::btree_map("[a-z]{0,6}", "[a-z]{0,4}", 0..300), absent in "[A-Z]{1,6}") {
        let mut builder = flat::FlatBuilder::default();
        for (key, value) in &keys {
            builder.push(key.as_bytes(), value.as_bytes(), (0, 0)).unwrap();
        }
        let (table, duplicates) = builder.finish(|_, _| true);
        prop_assert!(duplicates.is_empty());
        let octets = rkyv::to_bytes::<rkyv::rancor::Error>(&table).unwrap();
        let table = rkyv::access::<flat::ArchivedFlat, rkyv::rancor::Error>(&octets).unwrap();
        for (key, value) in &keys {
            let found: Vec<_> = table.find(key.as_bytes()).collect();
            prop_assert_eq!(found, [value.as_bytes()]);
        }
        prop_assert_eq!(table.find(absent.as_bytes()).count(), 0);
        prop_assert_eq!(table.records().count(), keys.len());
    }

    #[test]
    fn networks_agree_with_asking_every_prefix(nets in proptest::collection::vec((any::<u32>(), 0_u8..=32, 0_u32..3, any::<bool>()), 0..60), asked in proptest::collection::vec(any::<u32>(), 20)) {
        let mut builder = networks::NetworksBuilder::default();
        let names = ["a", "b", "c"];
        let lists = names.map(|name| builder.list(name, NetworkClass::Deny));
        // Few distinct addresses, so that prefixes nest.
        let nets: Vec<_> = nets.into_iter().map(|(address, length, list, excluded)| {
            let net = ipnet::Ipv4Net::new((address & 0x8181_8181).into(), length).unwrap().trunc();
            (net, list, excluded)
        }).collect();
        for (net, list, excluded) in &nets {
            let value = (!excluded).then_some((Ipv4Addr::new(127, 0, 0, 2), ""));
            builder.push(lists[*list as usize], ipnet::IpNet::V4(*net), value);
        }
        let octets = rkyv::to_bytes::<rkyv::rancor::Error>(&builder.finish()).unwrap();
        let table = rkyv::access::<networks::ArchivedNetworksTable, rkyv::rancor::Error>(&octets).unwrap();
        for address in asked.iter().flat_map(|address| [*address, address & 0x8181_8181]) {
            let address = Ipv4Addr::from_bits(address);
            let mut expected = Vec::new();
            for (number, name) in (0_u32..).zip(names) {
                // max_by_key takes the last of equals: the later line wins.
                let nearest = nets.iter().filter(|(net, list, _)| *list == number && net.contains(&address)).max_by_key(|(net, _, _)| net.prefix_len());
                if nearest.is_some_and(|(_, _, excluded)| !excluded) {
                    expected.push(name);
                }
            }
            let mut found: Vec<_> = table.find(address.into()).iter().map(|hit| hit.list).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_octets_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz::fuzz_table(&data);
        fuzz::fuzz_rbldnsd(&data);
        fuzz::fuzz_csv(&data);
    }
}
