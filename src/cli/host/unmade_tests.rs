use super::*;
use crate::cli::{
    host::{
        approval::tests::{Stage, approve_all, make, proposal},
        carry::obstacle,
    },
    ops::{Machines, Plans, Source},
    render,
};

#[test]
fn what_was_never_made_says_why() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    assert_eq!(host.list(true).unwrap(), []);
    let name: Name = "dev".parse().unwrap();
    let failure =
        Failure::new(crate::cli::failure::Kind::Failed, "template_failed", "step 1 failed with exit code 7");
    host.note_unmade(&host.here, &name, obstacle(&failure)).unwrap();
    let shown = host.list(true).unwrap();
    assert_eq!((shown.len(), shown[0].name.as_str(), shown[0].phase), (1, "dev", Phase::Stopped));
    let text = render::statuses(&shown);
    for part in
        ["TemplateFailed", "step 1 failed with exit code 7", "cofferdam template build dev", "never made"]
    {
        assert!(text.contains(part), "{text}");
    }
    // It is one of this repository's, and everybody's list has it.
    let other = stage.host("other");
    assert_eq!((other.list(true).unwrap().len(), other.list(false).unwrap().len()), (0, 1));
    // Another try, that fails at nothing of it, forgets it; so does the sandbox when it is there.
    Plans::park(&host, &proposal(&host, &Source::Search)).unwrap();
    assert_eq!(host.list(true).unwrap().len(), 1, "a plan alone is no try");
    make(&host);
    let shown = host.list(true).unwrap();
    assert_eq!((shown.len(), shown[0].reason.as_deref()), (1, None));
    host.note_unmade(&host.here, &name, None).unwrap();
    let known = host.store.approvals(&host.here).unwrap();
    assert_eq!(known.definitions["dev"].obstructed, None);
}

#[test]
fn what_no_file_defines_any_more_is_waited_for_by_nobody() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    let name: Name = "dev".parse().unwrap();
    let failure = Failure::new(crate::cli::failure::Kind::Failed, "template_failed", "step 1 failed");
    let fail = || host.note_unmade(&host.here, &name, obstacle(&failure)).unwrap();
    fail();
    let file = host.folder.join("sandbox.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("name: dev", "name: other")).unwrap();
    let pass = || {
        let defined = proposal(&host, &Source::Search).desired;
        host.forget_undefined(&host.here, &defined).unwrap();
        host.list(true).unwrap().len()
    };
    assert_eq!((host.list(true).unwrap().len(), pass()), (1, 0));

    // While its document stands there, a pass does not forget it.
    std::fs::write(&file, &text).unwrap();
    fail();
    assert_eq!(pass(), 1);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(host.list(true).unwrap().len(), 0);
}
