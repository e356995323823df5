//! Any bytes as the file of `apply F` and of `plan --replay F`: refused, or a plan that is written as it was read and
//! shows nothing that a terminal obeys; the same input plans the same.
#![no_main]

use cofferdam::plan::{
    Plan, input_from, input_text, make, plan_from, plan_text,
    render::{View, github, json, markdown, sarif, text},
};
use libfuzzer_sys::fuzz_target;

fn shown(plan: &Plan) {
    let view = View { plan, against: None, warnings: &[], covered: false };
    for page in [text(&view), markdown(&view), github(&view)] {
        assert!(!page.contains(|sign: char| sign.is_control() && sign != '\n'), "{page:?}");
    }
    for data in [json(&view), sarif(&view)] {
        assert!(data.is_object());
    }
}

fuzz_target!(|bytes: &[u8]| {
    match plan_from(bytes) {
        Ok(plan) => {
            let again = plan_from(plan_text(&plan).as_bytes()).expect("what is written reads");
            assert_eq!(again, plan);
            shown(&plan);
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
    if let Ok(input) = input_from(bytes) {
        let again = input_from(input_text(&input).as_bytes()).expect("what is written reads");
        let plan = make(&input);
        assert_eq!(make(&again), plan);
        shown(&plan);
    }
});
