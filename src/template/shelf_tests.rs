use super::*;
use crate::{
    model::{
        desired::BuildStep,
        rule::{Layer as RuleLayer, Origin},
    },
    template::{fixture::*, progress::Silent},
};

#[test]
fn what_is_kept_is_listed_found_and_removed() {
    let (fake, folder) = debian();
    let cache = open(&folder);
    let boot = cache.ensure(&fake.host, &Silent).unwrap();
    let origin = Origin { layer: RuleLayer::Repository, file: None, line: None };
    let steps = [BuildStep { run: "make".into(), origin }];
    let planned = layer::plan(boot.base.digest(), &steps, "k", "p").remove(0);
    {
        let bench = cache.bench(&Silent, &|_| {}).unwrap();
        fs::write(bench.folder().join("d"), ext4(true)).unwrap();
        bench.keep(&bench.folder().join("d"), &planned).unwrap();
    }
    fs::create_dir(cache.root().join("image").join("f".repeat(64))).unwrap();
    fs::create_dir(cache.root().join("image/not-a-key")).unwrap();
    let kept = cache.kept().unwrap();
    let kinds: Vec<&KeptKind> = kept.iter().map(|kept| &kept.kind).collect();
    let made = KeptKind::Steps(vec!["make".into()]);
    assert_eq!(kinds, [&KeptKind::Base { current: true }, &KeptKind::Damaged, &made]);
    assert!(kept[0].bytes > 0 && kept[0].created.is_some());

    let image = ImageId::Base(boot.base.digest().to_owned());
    let stack = Stack { image, layers: vec![planned.key] };
    let files = cache.files(&stack).unwrap();
    assert_eq!((files.image, files.layers.len()), (boot.base.image(), 1));
    cache.remove(&kept[1..], &Silent).unwrap();
    cache.remove(&kept[1..], &Silent).unwrap();
    assert_eq!((cache.files(&stack), cache.kept().unwrap().len(), left_over(&cache)), (None, 1, 0));
    // A base that is no longer the current one is found by who stands on it.
    fs::remove_file(cache.root().join("base.json")).unwrap();
    let alone = Stack { layers: Vec::new(), ..stack };
    assert!(cache.files(&alone).is_some());
    for odd in ["../../etc", "", "zz"] {
        let stack = Stack { image: ImageId::Base(odd.into()), layers: Vec::new() };
        assert!(cache.files(&stack).is_none(), "{odd}");
    }
}
