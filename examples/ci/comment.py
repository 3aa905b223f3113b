#!/usr/bin/env python3
"""Writes a file as the comment on a pull or merge request: comment.py FILE. A later call edits the same comment.

The forge, the request and the token come from the variables that a CI job has:

    GitHub   GITHUB_API_URL, GITHUB_REPOSITORY, PULL_REQUEST (its number), GITHUB_TOKEN
    GitLab   CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID, GITLAB_TOKEN (a project access token with scope `api`)

If the file is empty, an earlier comment is removed, and none is written.
"""

import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

# What tells our comment from those of others. Readers do not see it.
MARK = "<!-- meshtraced diff -->"


class Forge:
    """The comments of one request: `comments` lists them, `comment` is one of them."""

    def __init__(self, headers, comments, comment, update):
        self.headers = {"Content-Type": "application/json", "User-Agent": "meshtraced", **headers}
        self.comments, self.comment, self.update = comments, comment, update

    @classmethod
    def of(cls, env):
        if "CI_API_V4_URL" in env:
            request = f"{env['CI_API_V4_URL']}/projects/{env['CI_PROJECT_ID']}/merge_requests/{env['CI_MERGE_REQUEST_IID']}"
            notes = f"{request}/notes"
            return cls({"PRIVATE-TOKEN": env["GITLAB_TOKEN"]}, notes, notes, "PUT")
        repository = f"{env['GITHUB_API_URL']}/repos/{env['GITHUB_REPOSITORY']}/issues"
        headers = {"Authorization": f"Bearer {env['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
        return cls(headers, f"{repository}/{env['PULL_REQUEST']}/comments", f"{repository}/comments", "PATCH")

    def call(self, method, url, body=None):
        data = None if body is None else json.dumps({"body": body}).encode()
        request = urllib.request.Request(url, data, self.headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def known(self):
        """The id of our comment, or None."""
        page = 1
        while found := self.call("GET", f"{self.comments}?per_page=100&page={page}"):
            for comment in found:
                if comment["body"].startswith(MARK):
                    return comment["id"]
            page += 1
        return None

    def write(self, text):
        known = self.known()
        if not text.strip():
            if known is not None:
                self.call("DELETE", f"{self.comment}/{known}")
        elif known is None:
            self.call("POST", self.comments, f"{MARK}\n{text}")
        else:
            self.call(self.update, f"{self.comment}/{known}", f"{MARK}\n{text}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: comment.py FILE")
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    try:
        Forge.of(os.environ).write(text)
    except KeyError as missing:
        sys.exit(f"comment.py: the variable {missing.args[0]} is not set; see the beginning of this file")
    except urllib.error.HTTPError as error:
        reason = error.read(500).decode(errors="replace")
        sys.exit(f"comment.py: {error.url} answers {error.code}: {reason}; may the token write comments?")
    except (urllib.error.URLError, TimeoutError) as error:
        sys.exit(f"comment.py: the forge does not answer: {error}")


if __name__ == "__main__":
    main()
