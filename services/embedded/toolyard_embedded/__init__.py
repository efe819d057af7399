"""The whole of Toolyard in one process: gateway, worker and scheduler over a journal, without a broker."""
