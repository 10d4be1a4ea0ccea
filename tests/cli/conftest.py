"""A recipe file for the verbs."""

import pytest


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    (tmp_path / "items.csv").write_text("id,title\n1,Heat\n2,Up\n")
    (tmp_path / "events.csv").write_text("user,item,time\na,1,10\n")
    items = f"{{path: '{tmp_path}/items.csv', id: id, text: '{{title}}'}}"
    events = f"{{path: '{tmp_path}/events.csv', user: user, item: item, time: time}}"
    data = f"{{items: {items}, events: {events}}}"
    path.write_text(f"backbone: {{name: m}}\ndata: {data}\ntasks: {{interest: {{kind: interest}}}}\n")
    return path
