//! The workflow that `--ci github` writes.
//!
//! A pull request may come from an agent or a stranger: nothing of it is part of a line of a shell, only of its
//! environment; each job has the least right that it needs; no secret is named. A pull request from a fork has no right
//! to write at all: its result is the job's own, in the summary and the log.

/// Its text. Versions of actions are facts of their own repository: the major version stands here, and a reader is
/// told to pin it.
pub(super) const WORKFLOW: &str = r#"# Checks the sandbox files of a pull request and shows what the change would permit. From `cofferdam init --ci github`.
# Actions stand here by their major version: pin them to commits where your rules ask for it.
name: cofferdam
on: pull_request
permissions: {}
concurrency:
  group: cofferdam-${{ github.ref }}
  cancel-in-progress: true
jobs:
  plan:
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    permissions:
      contents: read
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0 # the plan compares with the merge base
          persist-credentials: false
      # Bring the binary in your own way: in the runner's image, or by a step here.
      - name: Cofferdam is there
        run: cofferdam version
      # It checks the files of the commit, too, and looks at no folder of this runner: `cofferdam check` would miss the
      # folders of your host that they mount.
      - name: What the change permits
        env:
          BASE_REF: ${{ github.base_ref }}
        run: |
          code=0
          cofferdam plan --against "origin/$BASE_REF" --output github \
            --write "md=$RUNNER_TEMP/plan.md" "sarif=$RUNNER_TEMP/plan.sarif" "json=$RUNNER_TEMP/plan.json" || code=$?
          if [ -f "$RUNNER_TEMP/plan.md" ]; then cat "$RUNNER_TEMP/plan.md" >> "$GITHUB_STEP_SUMMARY"; fi
          case "$code" in
            0) ;;
            3) echo "::error title=cofferdam::the files are wrong" ;;
            5) echo "::error title=cofferdam::this permits more than before; look at each grant, then write it down with: cofferdam approve --commit" ;;
            *) echo "::error title=cofferdam::there is no plan, exit code $code" ;;
          esac
          exit "$code"
      - uses: actions/upload-artifact@v4
        if: ${{ !cancelled() }}
        with:
          name: cofferdam-plan
          path: ${{ runner.temp }}/plan.*
          if-no-files-found: ignore
  # A pull request from a fork has no right to write, and keeps the summary and the log of the job above.
  comment:
    needs: plan
    if: ${{ !cancelled() && github.event.pull_request.head.repo.full_name == github.repository }}
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      pull-requests: write
    steps:
      - uses: actions/download-artifact@v4
        with:
          name: cofferdam-plan
      - name: One comment, replaced each time
        env:
          GH_TOKEN: ${{ github.token }}
          NUMBER: ${{ github.event.pull_request.number }}
        run: |
          # Only a comment that this workflow wrote is replaced, whoever else wrote its first line.
          mine='.[] | select(.user.login == "github-actions[bot]") | select(.body | startswith("<!-- cofferdam-plan -->")) | .id'
          id=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$NUMBER/comments" --jq "$mine" | head -n 1)
          if [ -n "$id" ]; then
            gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F body=@plan.md
          else
            gh api --silent --method POST "repos/$GITHUB_REPOSITORY/issues/$NUMBER/comments" -F body=@plan.md
          fi
  # Where code scanning is switched on; elsewhere the upload is refused, and nothing depends on it.
  scan:
    needs: plan
    if: ${{ !cancelled() && github.event.pull_request.head.repo.full_name == github.repository }}
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      actions: read
      contents: read
      security-events: write
    steps:
      - uses: actions/download-artifact@v4
        with:
          name: cofferdam-plan
      - uses: github/codeql-action/upload-sarif@v3
        continue-on-error: true
        with:
          sarif_file: plan.sarif
          category: cofferdam
"#;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn workflow() -> Value {
        serde_saphyr::from_str(WORKFLOW).unwrap()
    }

    fn steps(workflow: &Value) -> impl Iterator<Item = &Value> {
        let jobs = workflow["jobs"].as_object().unwrap();
        jobs.values().flat_map(|job| job["steps"].as_array().unwrap())
    }

    #[test]
    fn nothing_of_a_pull_request_is_part_of_a_shell_line() {
        let workflow = workflow();
        let scripts: Vec<&str> = steps(&workflow).filter_map(|step| step["run"].as_str()).collect();
        assert_eq!(scripts.len(), 3);
        for script in scripts {
            assert!(!script.contains("${{"), "{script}");
            // Quoted wherever it is used, so that it is one word.
            let plain = script.replace("\"origin/$BASE_REF\"", "").replace("issues/$NUMBER/comments\"", "");
            assert!(!plain.contains("BASE_REF") && !plain.contains("NUMBER"), "{script}");
        }
        // `pull_request_target` and `workflow_run` would run with the base's rights.
        assert_eq!(workflow["on"], "pull_request");
        assert!(!WORKFLOW.contains("secrets"));
    }

    #[test]
    fn each_job_has_the_least_right() {
        let workflow = workflow();
        assert_eq!(workflow["permissions"], serde_json::json!({}));
        let rights = |job: &str| workflow["jobs"][job]["permissions"].clone();
        assert_eq!(rights("plan"), serde_json::json!({"contents": "read"}));
        assert_eq!(rights("comment"), serde_json::json!({"pull-requests": "write"}));
        assert_eq!(rights("scan")["security-events"], "write");
        // What may write runs nothing of the pull request: no checkout, no cofferdam.
        for job in ["comment", "scan"] {
            let steps = workflow["jobs"][job]["steps"].to_string();
            assert!(!steps.contains("checkout@") && !steps.contains("cofferdam plan"), "{steps}");
            let only = "github.event.pull_request.head.repo.full_name == github.repository";
            assert!(workflow["jobs"][job]["if"].as_str().unwrap().contains(only));
        }
        let checkout = &workflow["jobs"]["plan"]["steps"][0]["with"];
        assert_eq!(*checkout, serde_json::json!({"fetch-depth": 0, "persist-credentials": false}));
    }

    #[test]
    fn the_comment_is_found_by_our_own_first_line() {
        assert!(WORKFLOW.contains(crate::plan::render::MARKER));
    }
}
