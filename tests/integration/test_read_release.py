"""What is permitted when a record is looked for, and no more when it was opened, does not leave."""

from dataclasses import replace

import pytest
from conduct_case import ConductHome
from sqlalchemy import event, func, select

from gateway import disclosure
from gateway.errors import Forbidden
from gateway.index import schema as t


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = ConductHome.make(tmp_path_factory.mktemp("home"))
    yield home
    home.made.close()


class Interrupted:
    """A store on which something happens whenever it is read, which is after the permission was looked at."""

    def __init__(self, store, happens):
        self._store, self._happens = store, happens

    def get_range(self, *place):
        self._happens()
        return self._store.get_range(*place)


def logged(home):
    with home.made.services.index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(t.access))


def read(services, home):
    return disclosure.read(services, home.insurer, "Observation", home.records["o1"], purpose="HPAYMT")


def test_a_revoke_while_a_record_is_opened_holds_and_nothing_is_logged(home):
    consent, services = home.grant(home.anna, "Observation"), home.made.services
    assert len(read(services, home).accesses) == 1
    before = logged(home)
    with pytest.raises(Forbidden):
        read(replace(services, store=Interrupted(services.store, lambda: home.revoke(home.anna, consent))), home)
    assert logged(home) == before


def test_a_grant_that_ends_while_a_record_is_opened_holds_no_longer(home):
    consent, services = home.grant(home.anna, "Observation"), home.made.services
    times = iter([services.clock(), 4e9])
    with pytest.raises(Forbidden):
        read(replace(services, clock=lambda: next(times)), home)
    home.revoke(home.anna, consent)


def test_a_read_takes_two_units_of_the_database(home):
    """One to look, one to look again; more would make every read slower."""
    consent, services = home.grant(home.anna, "Observation"), home.made.services
    read(services, home)  # whoever opens a bundle first reads the container's row, too
    units = []
    begun = units.append
    event.listen(services.index.engine, "begin", begun)
    try:
        read(services, home)
        assert len(units) == 2
        disclosure.read(services, home.anna, "Observation", home.records["o1"])
        assert len(units) == 4
    finally:
        event.remove(services.index.engine, "begin", begun)
        home.revoke(home.anna, consent)
