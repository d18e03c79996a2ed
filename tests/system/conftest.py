# SPDX-License-Identifier: BSD-2-Clause
import pytest

import wine as wine_module


@pytest.fixture(scope="session")
def wine_session():
    if not wine_module.is_installed():
        pytest.skip("Wine is not installed (Debian package wine); Windows programs are not tested")
    session = wine_module.Wine()
    yield session
    session.close()


@pytest.fixture
def wine(wine_session):
    """Wine for one test: what the test started ends with it."""
    yield wine_session
    wine_session.end_started()
