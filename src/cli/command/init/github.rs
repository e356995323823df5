//! The workflow that `--ci github` writes.
//!
//! A pull request may come from an agent or a stranger: its branch names reach a shell only through the environment,
//! never as part of a line; the token can read and nothing else; no secret is named.

/// Its text. Versions of actions are facts of their own repository: the major version stands here, and a reader is
/// told to pin it.
pub(super) const WORKFLOW: &str = r#"# Checks the sandbox files of a pull request and shows what the change would permit. From `cofferdam init --ci github`.
name: cofferdam
on: pull_request
permissions:
  contents: read
jobs:
  sandbox:
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    steps:
      # By its major version: pin it to a commit where your rules ask for it.
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0 # the plan compares with the merge base
          persist-credentials: false
      # Bring the binary in your own way: in the runner's image, or by a step here.
      - name: Cofferdam is there
        run: cofferdam version
      - name: The files are right
        run: cofferdam check
      # Exit code 5: it permits more than before, and nobody has approved that.
      - name: What the change permits
        env:
          BASE_REF: ${{ github.base_ref }}
        run: cofferdam plan --against "origin/$BASE_REF" --output md >> "$GITHUB_STEP_SUMMARY"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_pull_request_is_part_of_a_shell_line() {
        let shell_line = |line: &&str| line.trim_start().starts_with("run:");
        assert_eq!(WORKFLOW.lines().filter(shell_line).count(), 3);
        for line in WORKFLOW.lines().filter(|line| line.contains("${{")) {
            assert!(!shell_line(&line) && line.trim_start().starts_with("BASE_REF:"), "{line}");
        }
        // `pull_request_target` would run with the base's rights.
        assert!(
            WORKFLOW.contains("on: pull_request\n") && WORKFLOW.contains("permissions:\n  contents: read\n")
        );
        assert!(!WORKFLOW.contains("secrets"));
    }
}
