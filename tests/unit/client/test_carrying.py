"""How a client reaches its gateway: by which proxies, and trusting whom."""

import ssl

import pytest

from toolyard.client.carrying import options


@pytest.mark.parametrize("url", ["https://toolyard.example", "https://127.0.0.1:8443", "http://toolyard.example"])
def test_certificates_are_checked_wherever_tls_may_be_spoken(url: str):
    """By a proxy of the environment, too: that may be on the way to another machine."""
    assert options(url, "k")["verify"] is True


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_to_this_very_machine_no_proxy_is_asked_and_nobody_is_trusted(url: str):
    made = options(url, "k")

    assert made["trust_env"] is False
    assert isinstance(made["verify"], ssl.SSLContext)
    assert (made["verify"].verify_mode, made["verify"].check_hostname) == (ssl.CERT_REQUIRED, True)
    assert made["verify"].get_ca_certs() == []
