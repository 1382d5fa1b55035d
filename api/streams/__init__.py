"""Live data over one WebSocket: channels with epoch, sequence and resume; see docs/api/streams.md."""
