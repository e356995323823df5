//! Requests of a guest: what passes is the same however it is cut, passes again unchanged, and has one length for the
//! parser behind the guard too.
#![no_main]

use cofferdam::egress::overhear::requests;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (clean, refused) = requests(bytes, usize::MAX).expect("nothing waits");
    let (pieces, why) = requests(bytes, 1).expect("nothing waits");
    assert_eq!((&pieces, why.is_some()), (&clean, refused.is_some()));
    let (again, nothing) = requests(&clean, 7).expect("nothing waits");
    assert_eq!((&again, nothing), (&clean, None), "what passed passes");
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut request = httparse::Request::new(&mut fields);
    if clean.is_empty() || !request.parse(&clean).is_ok_and(|it| it.is_complete()) {
        return;
    }
    let all = |name: &str| -> Vec<&[u8]> {
        let named = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect()
    };
    assert_eq!(all("host").len(), 1);
    match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => {}
        ([first, rest @ ..], []) => assert!(rest.iter().all(|other| other == first), "one length"),
        ([], [coding]) => assert!(coding.eq_ignore_ascii_case(b"chunked") && request.version == Some(1)),
        (lengths, codings) => panic!("{lengths:?} {codings:?}"),
    }
});
