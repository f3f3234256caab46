"""The table of ipyparallel's names agrees with the package, and the page with the table."""

from __future__ import annotations

import surface_check


def test_the_table_agrees_with_the_package():
    assert surface_check.complaints() == []


def test_a_name_that_is_not_there_is_noticed():
    assert surface_check.exists("Client.wait")
    assert surface_check.exists("client.view.DirectView")
    assert surface_check.exists("error.collect_exceptions")
    assert surface_check.exists("serialize.canning.Reference")
    assert surface_check.exists("engine.datapub.publish_data")
    assert not surface_check.exists("Client.colour")
    assert not surface_check.exists("nothing.at_all")


def test_the_page_is_written_from_the_table():
    page = surface_check.PAGE.read_text()
    # The last part tells of every public name there is; it is written anew with each release.
    assert page.partition("\n## Beyond")[0] == surface_check.page().partition("\n## Beyond")[0]
