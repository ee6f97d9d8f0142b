import DolphinChatModels
import SwiftUI

struct NotesView: View {
  let notes: NotesModel
  @State private var question = ""
  @State private var draft = ""

  var body: some View {
    NavigationStack {
      List {
        if let failure = notes.failure { Label(failure, systemImage: "exclamationmark.triangle") }
        if question.isEmpty {
          Section("New note") {
            TextField("Text", text: $draft, axis: .vertical)
            Button("Keep", action: keep).disabled(draft.isEmpty)
          }
          Section("Notes") {
            ForEach(notes.notes) { note in
              Text(note.text).swipeActions {
                Button("Delete", role: .destructive) { Task { await notes.remove(note.id) } }
              }
            }
          }
        } else {
          ForEach(notes.matches) { match in
            LabeledContent(match.note.text) {
              Text(match.similarity, format: .percent.precision(.fractionLength(0)))
            }
          }
        }
      }
      .navigationTitle("Notes")
      .searchable(text: $question, prompt: "Ask your notes")
      .task(id: question) { await search() }
    }
  }

  /// Waits until nobody has typed for a moment.
  private func search() async {
    do {
      try await Task.sleep(for: .milliseconds(250))
      await notes.search(question)
    } catch {}
  }

  private func keep() {
    let text = draft
    draft = ""
    Task { await notes.add([text]) }
  }
}
