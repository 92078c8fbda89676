"""What a caller of imports may do wrong."""

from __future__ import annotations

from service.errors import Conflict, InvalidRequest, NotAllowed, NotFound


class ImportNotFound(NotFound):
    code, default_message = "import_not_found", "No import has this id."


class FolderImportsOff(NotAllowed):
    code = "folder_imports_off"
    default_message = "This service takes in no folders; MUQUERY_IMPORT_ROOTS names those it may."


class FolderNotAllowed(NotAllowed):
    code = "folder_not_allowed"
    default_message = "The folder lies outside those that this service may take in."


class FolderNotFound(NotFound):
    code, default_message = "folder_not_found", "There is no such folder on the server."


class ImportEnded(Conflict):
    code, default_message = "import_ended", "The import has ended."


class ImportClosed(Conflict):
    code, default_message = "import_closed", "The import takes no more uploads."


class ImportNotEnded(Conflict):
    code, default_message = "import_not_ended", "The import has not ended; cancel it first."


class WebhookNotAllowed(InvalidRequest):
    code = "webhook_not_allowed"
    default_message = "This service does not call that address."
